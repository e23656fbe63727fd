"""Inputs for fuzz_composed to begin with.

    python test/fuzz/make_composed_seeds.py test/fuzz/composed
"""
import json
import os
import struct
import sys

PIECES = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("\u2581a", -1.5, 1), ("a", -2, 1),
          ("b", -2.5, 1), ("\u2581", -3, 1), ("user", -2, 4), ("<0x41>", -9, 6)]


def field(number, data):
    return bytes([number << 3 | 2, len(data)]) + data


def model():
    out = b""
    for text, score, kind in PIECES:
        piece = field(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score)
        out += field(1, piece + bytes([3 << 3, kind]))
    return out + field(2, bytes([3 << 3, 1])) + field(3, field(2, charsmap()[:100]))


def charsmap():
    units = [0] * 32
    return struct.pack("<I", 128) + struct.pack("<32I", *units) + b"x\0"


def pieces(tokens, scores, merges):
    out = b"BERTPCS1" + struct.pack("<5I", len(tokens), len(merges), sum(map(len, tokens)), 0,
                                    scores is not None)
    out += b"".join(struct.pack("<H", len(t)) for t in tokens)
    out += b"".join(struct.pack("<d", s) for s in scores or [])
    return out + b"".join(struct.pack("<2I", *m) for m in merges) + b"".join(tokens)


def unigram(**parts):
    tokens = [[t, s] for t, s, _ in PIECES]
    return json.dumps({"added_tokens": [], **parts,
                       "model": {"type": "Unigram", "unk_id": 0, "vocab": tokens}},
                      ensure_ascii=False, separators=(",", ":")).encode()


def shifted():
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in visible]
    return sorted([chr(b) for b in visible] + [chr(256 + i) for i in range(len(rest))])


def main():
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}
    steps = [{"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]
    alphabet = [c.encode() for c in shifted()]
    seeds = {
        "unigram": unigram(pre_tokenizer=space) + b"\0\x01\0\0\xffaab b",
        "stages": unigram(normalizer={"type": "Sequence", "normalizers": steps},
                          pre_tokenizer=space, decoder=space) + b"\0\0\0\0\xffa  b",
        "sentencepiece": model(),
        "pieces": pieces([t.encode() for t, _, _ in PIECES], [s for _, s, _ in PIECES], []),
        "merges": pieces(alphabet + [b"ab"], None, [(65, 66)]),
        "text": b"\x01\x01\0\0\xffHello  world don't a\xcc\x81 12 <mask>",
        "pair": b"\x03\x11\0\0\x80caf\xc3\xa9 \xef\xac\x81 x\t\ny",
        "image": b"\x02\x03\0\x30\x01\x01\x02\xff\x00\x80\x7fHello",
    }
    for name, data in seeds.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(data)


main()
