"""Many texts at a time: generated strings as one array of code points, and encodings compared as
arrays of a whole batch. For tokenizer_kinds.py, where a million strings a kind are compared.
"""

import itertools
import struct
import subprocess

import numpy
import tokenizer as parity

BATCH = 20000  # texts
FIELDS = ("ids", "types", "starts", "ends", "words", "sequences")


def points_of_kinds(rng, count):
    """Code points as tokenizer.py's random_strings draws them: ASCII, white space, control
    characters, marks and what else normalizers know, alphabets, syllables, all planes."""
    marks = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and parity.is_interesting(c)]
    spaces = [0x20, 0x20, 0x9, 0xA, 0xD, 0xA0, 0x3000, 0x85, 0x2028]
    planes = numpy.array([0, 0, 0, 1, 2, 3, 0xE, 0xF, 0x10])

    def drawn(low, high):
        return rng.integers(low, high, count)

    def chosen(values):
        return numpy.array(values)[rng.integers(0, len(values), count)]

    far = chosen(planes) * 0x10000 + drawn(0, 0x10000)
    far[(far >= 0xD800) & (far <= 0xDFFF)] -= 0x800
    kind = rng.random(count)
    bounds = [0.25, 0.32, 0.37, 0.57, 0.67, 0.69, 0.70, 0.72]
    values = [
        drawn(0x20, 0x7F),
        chosen(spaces),
        drawn(0, 0x20),
        chosen(marks),
        drawn(0x80, 0x600),
        drawn(0xAC00, 0xD7A4),
        drawn(0x1100, 0x1200),
        drawn(0x4E00, 0xA000),
    ]
    return numpy.select([kind < b for b in bounds], values, far)


def pieces(rng, words, spaces, points):
    """A table of what strings are made of, words, spaces and code points, as one array of code
    points with the place where each begins; and the indices of words, spaces and points."""
    parts = list(words) + list(spaces)
    lengths = numpy.array([len(p) for p in parts] + [1] * points)
    table = numpy.array([ord(c) for c in "".join(parts)], dtype=numpy.uint32)
    table = numpy.concatenate((table, points_of_kinds(rng, points).astype(numpy.uint32)))
    starts = numpy.concatenate(([0], numpy.cumsum(lengths)[:-1]))
    return table, starts, lengths


def strings(seed, count, words, spaces):
    """Lists of BATCH strings: of code points alone, of words, spaces and points, of one piece
    again and again, of a letter and marks."""
    rng = numpy.random.default_rng(seed)
    n_points = 1 << 18
    table, starts, lengths = pieces(rng, words, spaces, n_points)
    first_point = len(words) + len(spaces)
    while count > 0:
        n = min(count, BATCH)
        count -= n
        kind = rng.random(n)
        sizes = rng.integers(1, 30, n)
        repeated = kind > 0.97
        sizes[repeated] = rng.integers(60, 110, repeated.sum())
        ends = numpy.cumsum(sizes)
        total = int(ends[-1])
        owner = numpy.repeat(numpy.arange(n), sizes)
        index = rng.integers(first_point, first_point + n_points, total)
        mixed = (kind > 0.5)[owner]
        draw = rng.random(total)
        word = mixed & (draw < 0.35)
        space = mixed & (draw >= 0.35) & (draw < 0.6)
        index[word] = rng.integers(0, len(words), word.sum())
        index[space] = rng.integers(len(words), first_point, space.sum())
        same = repeated[owner]
        index[same] = index[(ends - sizes)[owner[same]]]
        width = lengths[index]
        after = numpy.cumsum(width)
        inside = numpy.arange(int(after[-1])) - numpy.repeat(after - width, width)
        text = table[numpy.repeat(starts[index], width) + inside]
        whole = text.astype("<u4").tobytes().decode("utf-32-le")
        cuts = after[ends - 1].tolist()
        yield [whole[a:b] for a, b in zip([0] + cuts, cuts)]


def batches(texts):
    """Batches of about equal work out of texts one by one."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size > parity.SHARD or len(batch) == BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def theirs(encodings, types):
    """The reference's encodings as counts and six arrays."""
    counts = numpy.fromiter(map(len, encodings), numpy.int32, len(encodings))
    total = int(counts.sum())

    def joined(lists, n=total):
        return numpy.fromiter(itertools.chain.from_iterable(lists), numpy.int32, n)

    def known(values):
        return [-1 if v is None else v for v in values]

    pairs = itertools.chain.from_iterable(e.offsets for e in encodings)
    offsets = joined(pairs, 2 * total)
    return counts, (
        joined(e.ids for e in encodings),
        joined(e.type_ids for e in encodings) if types else numpy.zeros(total, numpy.int32),
        offsets[0::2],
        offsets[1::2],
        joined(known(e.word_ids) for e in encodings),
        joined(known(e.sequence_ids) for e in encodings),
    )


def ours(command, texts):
    """The same of the driver's; None in the place of the arrays where it refuses a text."""
    encoded = [text.encode() for text in texts]
    header = struct.pack("<2i", 3, len(texts))
    sizes = numpy.fromiter(map(len, encoded), numpy.int32, len(encoded)).tobytes()
    request = header + sizes + b"".join(encoded)
    done = subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True)
    answer = numpy.frombuffer(done.stdout, "<i4")
    counts, rest = answer[: len(texts)], answer[len(texts) :]
    if (counts < 0).any():
        return counts, None
    return counts, rest.reshape(6, -1)


def differing(a, b):
    """Which texts of a batch differ in any array."""
    (counts, fields), (other_counts, other_fields) = a, b
    if other_fields is None or not numpy.array_equal(counts, other_counts):
        return numpy.flatnonzero(counts != other_counts)
    wrong = numpy.zeros(int(counts.sum()), bool)
    for one, other in zip(fields, other_fields):
        wrong |= one != other
    return numpy.unique(numpy.repeat(numpy.arange(len(counts)), counts)[wrong])


def compare(kind, texts, report):
    encodings = kind.reference.encode_batch(texts)
    expected = theirs(encodings, kind.types)
    found = ours(kind.command, texts)
    report.compared += len(texts)
    report.tokens += int(expected[0].sum())
    report.bytes += sum(len(text.encode()) for text in texts)
    for i in differing(expected, found)[:100]:
        one = [text for text in texts[i : i + 1]]
        a, b = theirs(encodings[i : i + 1], kind.types), ours(kind.command, one)
        report.different += 1
        if report.different <= 10:
            print("DIFFERENT %s: %r" % (kind.name, one[0][:300]))
            for name, x, y in zip(FIELDS, a[1], b[1] if b[1] is not None else [()] * 6):
                if not numpy.array_equal(x, y):
                    print("  %s reference %s\n  %s ours      %s" % (name, x, name, y), flush=True)
