#!/usr/bin/env python3
"""Trains small tokenizers of each published kind on a folder of texts, for tokenizer_kinds.py.

    python3 test/parity/make_tokenizers.py DATA OUT

DATA has udhr, ud_multi, unicode and sst2 as the texts. Needs `sentencepiece`, whose own normalizer
(nmt_nfkc) becomes the charsmap, and `transformers`. OUT gets a folder for each tokenizer.
"""

import json
import os
import re
import sys

import sentencepiece
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AlbertTokenizer,
    CamembertTokenizer,
    MPNetTokenizer,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def texts(data, most=2000000):
    """Lines of many languages, at most that many characters."""
    total = 0
    for folder in ("udhr", "ud_multi", "unicode", "sst2"):
        for name in sorted(os.listdir(os.path.join(data, folder))):
            path = os.path.join(data, folder, name)
            with open(path, encoding="utf-8", errors="ignore") as file:
                text = re.sub(r"<[^>]*>", "", file.read())
            for line in text.split("\n")[:600]:
                line = line.strip()
                if line and total < most:
                    total += len(line)
                    yield line[:2000]


def sentencepiece_model(out, name, lines, **options):
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    prefix = os.path.join(folder, "spm")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=prefix,
        model_type="unigram",
        num_threads=1,
        minloglevel=2,
        **options,
    )
    os.remove(prefix + ".vocab")
    return folder, prefix + ".model"


def config(folder, tokenizer_class, **members):
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"model_type": "bert"}, file)
    path = os.path.join(folder, "tokenizer_config.json")
    known = json.load(open(path)) if os.path.exists(path) else {}
    with open(path, "w") as file:
        json.dump({**known, "tokenizer_class": tokenizer_class, **members}, file)


def save(folder, tokenizer, name="PreTrainedTokenizerFast", **members):
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    config(folder, name, **members)


def template():
    return processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )


def sentencepiece_kinds(out, lines):
    folder, model = sentencepiece_model(out, "xlmr", lines, vocab_size=6000)
    os.rename(model, os.path.join(folder, "sentencepiece.bpe.model"))
    config(folder, "XLMRobertaTokenizer")
    tokenizer = XLMRobertaTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(os.path.join(out, "xlmr_json"))
    config(os.path.join(out, "xlmr_json"), "PreTrainedTokenizerFast")

    folder, model = sentencepiece_model(
        out,
        "camembert",
        lines,
        vocab_size=4000,
        character_coverage=0.98,
        unk_id=0,
        bos_id=1,
        eos_id=2,
    )
    os.rename(model, os.path.join(folder, "sentencepiece.bpe.model"))
    config(folder, "CamembertTokenizer")

    folder, model = sentencepiece_model(
        out,
        "albert",
        lines,
        vocab_size=4000,
        character_coverage=0.98,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]"],
        user_defined_symbols=["[MASK]", "(", ")", "-"],
    )
    os.rename(model, os.path.join(folder, "spiece.model"))
    config(folder, "AlbertTokenizer")
    return os.path.join(out, "xlmr_json", "tokenizer.json")


def unigram_kinds(out, lines, published):
    charsmap = json.load(open(published))["normalizer"]
    model = json.load(open(published))["model"]
    bytes_ = [["<0x%02X>" % b, -20.0 - b / 64] for b in range(256)]

    def made(vocab, unk_id=3, byte_fallback=False):
        return Tokenizer(
            models.Unigram([tuple(v) for v in vocab], unk_id, byte_fallback=byte_fallback)
        )

    # as transformers writes it from a model without a class of its own: byte fallback, one word
    tokenizer = made(model["vocab"] + bytes_, byte_fallback=True)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "\u2581"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.post_processor = template()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(t, lstrip=t == "<mask>") for t in SPECIAL])
    tokenizer.add_tokens(
        [
            AddedToken("Menschen", single_word=True),
            AddedToken("[x]", rstrip=True, normalized=False),
            AddedToken("\ufb01n", lstrip=True, rstrip=True),
        ]
    )
    save(os.path.join(out, "bytes_first"), tokenizer)

    tokenizer = made(model["vocab"])
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace("''", '"'),
            normalizers.Replace("aa", "a"),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Strip(),
            normalizers.Prepend("\u2581"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Metaspace(prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = template()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(["Droits", AddedToken("\uff21\u0301b", single_word=True)])
    save(os.path.join(out, "nmt_nfkc"), tokenizer)

    tokenizer = made(model["vocab"])
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.NFD()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Whitespace(),
            pre_tokenizers.Digits(),
            pre_tokenizers.Metaspace(prepend_scheme="never"),
        ]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    save(os.path.join(out, "nfc"), tokenizer)

    tokenizer = made(model["vocab"])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(__import__("base64").b64decode(charsmap["precompiled_charsmap"]))]
        + [normalizers.NFKD(), normalizers.StripAccents(), normalizers.NFC()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken("caf\u00e9", normalized=True)])
    tokenizer.post_processor = template()
    save(os.path.join(out, "charsmap_nfkd"), tokenizer)


def bpe(lines, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def bpe_kinds(out, lines):
    tokenizer = bpe(lines, 5000)
    folder = os.path.join(out, "roberta")
    os.makedirs(folder, exist_ok=True)
    tokenizer.model.save(folder)
    config(folder, "RobertaTokenizer")
    RobertaTokenizer.from_pretrained(folder).save_pretrained(os.path.join(out, "roberta_prefix"))
    config(
        os.path.join(out, "roberta_prefix"),
        "RobertaTokenizer",
        add_prefix_space=True,
        trim_offsets=False,
    )
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=True),
        ]
    )
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=True), template()]
    )
    tokenizer.add_tokens([AddedToken("<x>", lstrip=True), AddedToken("yes", single_word=True)])
    save(os.path.join(out, "bpe_digits"), tokenizer)

    whole = json.loads(tokenizer.to_str())
    whole["model"]["ignore_merges"] = True
    whole["normalizer"] = None
    whole["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    whole["post_processor"] = {
        "type": "RobertaProcessing",
        "sep": ["</s>", 2],
        "cls": ["<s>", 0],
        "trim_offsets": True,
        "add_prefix_space": True,
    }
    save(os.path.join(out, "bpe_whole"), Tokenizer.from_str(json.dumps(whole)))


def wordpiece_kinds(out, lines):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=3000,
        special_tokens=["<s>", "<pad>", "</s>", "[UNK]", "<mask>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    folder = os.path.join(out, "mpnet")
    os.makedirs(folder, exist_ok=True)
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("".join(token + "\n" for token, _ in vocab))
    config(folder, "MPNetTokenizer")
    MPNetTokenizer.from_pretrained(folder).save_pretrained(os.path.join(out, "mpnet_json"))


def main():
    data, out = sys.argv[1:]
    lines = list(texts(data))
    published = sentencepiece_kinds(out, lines)
    unigram_kinds(out, lines, published)
    bpe_kinds(out, lines)
    wordpiece_kinds(out, lines)


if __name__ == "__main__":
    main()
