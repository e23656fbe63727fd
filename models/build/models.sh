# models.sh: what build makes. Sourced.
# shellcheck disable=SC2034
# rank and those that others are trained from (BASES) are recipes whose models do not come along.
ALL=(sentiment entities pos similarity topic mentions answer choose language)

TABLES[sentiment_first]=sentiment
TABLES[sentiment]=sentiment
BASES[sentiment]=sentiment_first
TASKS[sentiment]=classify
DESCRIPTIONS[sentiment]="sentiment of English sentences, trained with SST-2"

TABLES[entities_first]="entities document"
TABLES[entities_first2]="entities document"
BASES[entities_first2]=entities_first
TABLES[entities_first3]="entities document"
BASES[entities_first3]=entities_first
TABLES[entities_second]="entities document tag"
BASES[entities_second]="entities_first2 entities_first3"
TABLES[entities]=entities
BASES[entities]=entities_second
TASKS[entities]=entities
DESCRIPTIONS[entities]="names in English: PER, ORG, LOC, MISC; trained with wikigold, WNUT 2017, UNER"

TABLES[pos]=tag
TASKS[pos]=tag
DESCRIPTIONS[pos]="universal parts of speech of English words; trained with UD English EWT"

TABLES[similarity_first]=similarity
TABLES[similarity_second]=similarity
BASES[similarity_second]=similarity_first
TABLES[similarity]=similarity
BASES[similarity]=similarity_second
TASKS[similarity]=regress
DESCRIPTIONS[similarity]="how alike two English sentences are, 0 to 5; trained with STS-B"

TABLES[topic]=topic
TASKS[topic]=
DESCRIPTIONS[topic]="topic of English news: World, Sports, Business, Sci/Tech; trained with AG News"

TABLES[mentions]=entities
TASKS[mentions]=labels
DESCRIPTIONS[mentions]="kinds of names in English: person, organization, location, other name"

TABLES[answer_first]=answer
TABLES[answer]=answer
BASES[answer]=answer_first
TASKS[answer]=answer
DESCRIPTIONS[answer]="where an English text answers a question; trained with SQuAD 1.1"

TABLES[rank]="answer question"
TASKS[rank]=
DESCRIPTIONS[rank]="whether an English text answers a question; trained with SQuAD 1.1, QNLI"

TABLES[choose]=choice
TASKS[choose]=choose
DESCRIPTIONS[choose]="how an English text goes on best; trained with HellaSwag, CODAH, ARC"

TABLES[language]=document
TASKS[language]="fill_mask next_sentence"
DESCRIPTIONS[language]="missing words, next sentences; trained with Wikipedia and old English books"
