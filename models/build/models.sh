# models.sh: what build makes. Sourced.
# shellcheck disable=SC2034
# topic and language are recipes whose models do not come along.
ALL=(entities pos similarity answer follows)

TABLES[entities]="entities document"
TASKS[entities]=entities
DESCRIPTIONS[entities]="names in English: PER, ORG, LOC, MISC; trained with wikigold, WNUT 2017, UNER"

TABLES[pos]=tag
TASKS[pos]=tag
DESCRIPTIONS[pos]="universal parts of speech of English words; trained with UD English EWT"

TABLES[similarity]=similarity
TASKS[similarity]=regress
DESCRIPTIONS[similarity]="how alike two English sentences are, 0 to 5; trained with STS-B"

TABLES[topic]=topic
TASKS[topic]=
DESCRIPTIONS[topic]="topic of English news: World, Sports, Business, Sci/Tech; trained with AG News"

TABLES[answer]=answer
TASKS[answer]=answer
DESCRIPTIONS[answer]="where an English text answers a question; trained with SQuAD 1.1"

TABLES[language]=document
TASKS[language]="fill_mask next_sentence"
DESCRIPTIONS[language]="missing words, next sentences; trained with Wikipedia and old English books"

TABLES[follows]=document
TASKS[follows]=next_sentence
DESCRIPTIONS[follows]="whether an English text follows another; trained with Wikipedia and old books"
