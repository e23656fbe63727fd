"""The other implementations, each with one thread: ids of a fixed shape, or texts end to end."""

import importlib, json, logging, os, pathlib, shutil, warnings

import numpy as np
import torch

torch.set_num_threads(1)
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pooled(hidden, mask):
    """Mean over real tokens, then length 1: what the model's own pooling modules do."""
    hidden, mask = np.asarray(hidden, np.float32), np.asarray(mask, np.float32)[..., None]
    return unit((hidden * mask).sum(1) / mask.sum(1))


class Peer:
    """One contender. shape(ids): hidden states of a batch without padding. texts(list): unit
    embeddings in order.
    """

    def __init__(self, model, name, precision, forward):
        from tokenizers import Tokenizer

        self.name, self.precision, self.forward = name, precision, forward
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.no_padding()

    def shape(self, ids):
        return self.forward(ids, np.ones_like(ids))

    def texts(self, texts):
        """Length-sorted batches of 32: the fastest simple way to use such a library."""
        order, rows = np.argsort([len(t) for t in texts], kind="stable"), [None] * len(texts)
        for start in range(0, len(texts), 32):
            part = order[start : start + 32]
            encoded = [self.tokenizer.encode(texts[i]).ids for i in part]
            longest = max(map(len, encoded))
            ids, mask = np.zeros((len(part), longest), np.int64), np.zeros(
                (len(part), longest), np.int64
            )
            for k, row in enumerate(encoded):
                ids[k, : len(row)], mask[k, : len(row)] = row, 1
            for i, row in zip(part, pooled(self.forward(ids, mask), mask)):
                rows[i] = row
        return np.stack(rows)


class SentenceTransformers:
    def __init__(self, model, precision):
        from sentence_transformers import SentenceTransformer

        self.name, self.precision = f"sentence-transformers {precision}", precision
        kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.model = SentenceTransformer(str(model), device="cpu", model_kwargs={"dtype": kind})
        self.model.max_seq_length = 256

    def texts(self, texts):
        rows = self.model.encode(
            texts,
            batch_size=32,
            convert_to_numpy=False,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        return rows.float().numpy()


def onnx_files(model, work):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import BertModel

    plain, quantized = str(work / "model.onnx"), str(work / "model.int8.onnx")
    if not os.path.exists(quantized):
        bert = BertModel.from_pretrained(str(model)).eval()

        class Hidden(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.bert = bert

            def forward(self, ids, mask):
                return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state

        torch.onnx.export(
            Hidden(),
            (torch.ones(2, 8, dtype=torch.long),) * 2,
            plain,
            input_names=["ids", "mask"],
            output_names=["hidden"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in ("ids", "mask", "hidden")},
            dynamo=False,
        )
        quantize_dynamic(plain, quantized, weight_type=QuantType.QInt8)
    return plain, quantized


def onnx_fused_files(model, work):
    """The graph as ONNX Runtime's own optimizer for transformers fuses it, and quantized per
    channel: what its documentation advises for BERT.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    plain, _ = onnx_files(model, work)
    fused, quantized = str(work / "model.fused.onnx"), str(work / "model.fused.int8.onnx")
    if not os.path.exists(quantized):
        config = json.loads((model / "config.json").read_text())
        optimizer.optimize_model(
            plain,
            model_type="bert",
            num_heads=config["num_attention_heads"],
            hidden_size=config["hidden_size"],
        ).save_model_to_file(fused)
        quantize_dynamic(
            fused,
            quantized,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # of what comes out of fused operators, which ONNX's own inference does not know
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    return fused, quantized


def openvino_static_file(model, work, texts):
    """Weights and activations in 8 bits, as NNCF calibrates a transformer with these texts."""
    import nncf, openvino
    from tokenizers import Tokenizer

    quantized = str(work / "model.nncf.xml")
    if not os.path.exists(quantized):
        nncf.set_log_level(logging.ERROR)
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        tokenizer.enable_truncation(256)
        tokenizer.no_padding()
        rows = [np.array([tokenizer.encode(t).ids], np.int64) for t in texts]
        calibrated = nncf.quantize(
            openvino.Core().read_model(onnx_files(model, work)[0]),
            nncf.Dataset([{"ids": ids, "mask": np.ones_like(ids)} for ids in rows]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(rows),
        )
        openvino.save_model(calibrated, quantized)
    return quantized


def openvino_request(file, hint):
    import openvino

    return (
        openvino.Core()
        .compile_model(
            file,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": 1,
                "INFERENCE_PRECISION_HINT": hint,
                "NUM_STREAMS": 1,
            },
        )
        .create_infer_request()
    )


def ctranslate2_encoder(model, work, precision):
    import ctranslate2

    folder = work / "ctranslate2"
    if not folder.exists():
        ctranslate2.converters.TransformersConverter(str(model)).convert(str(folder))
    return ctranslate2.Encoder(
        str(folder),
        device="cpu",
        compute_type={"fp32": "float32", "int8": "int8_float32"}[precision],
        inter_threads=1,
        intra_threads=1,
    )


def random_model(pattern, folder, **changes):
    """A sentence-transformers folder like the pattern, of another shape, with the reference
    library's random first weights.
    """
    from transformers import BertConfig, BertModel

    torch.manual_seed(1)
    shutil.copytree(
        pattern,
        folder,
        copy_function=shutil.copyfile,
        ignore=shutil.ignore_patterns("*.safetensors", ".git*"),
    )
    BertModel(BertConfig.from_pretrained(str(pattern), **changes)).save_pretrained(str(folder))
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(
        json.dumps(
            {**json.loads(pooling.read_text()), "word_embedding_dimension": changes["hidden_size"]}
        )
    )


NAMES = [
    f"{name} {precision}"
    for name, precisions in (
        ("torch", ("fp32", "bf16")),
        ("onnxruntime", ("fp32", "int8")),
        ("onnxruntime-fused", ("fp32", "int8")),
        ("ctranslate2", ("fp32", "int8")),
        ("openvino", ("fp32", "bf16")),
        ("openvino-nncf", ("int8",)),
        ("sentence-transformers", ("fp32", "bf16")),
    )
    for precision in precisions
]


def load(model, work, wanted, calibration):
    """The contenders whose name begins with one of `wanted` (None: all). calibration: texts that
    none of them is timed with.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model, work = pathlib.Path(model), pathlib.Path(work)
    chosen = lambda name: wanted is None or any(name.startswith(w) for w in wanted)
    peers = []
    for precision in ("fp32", "bf16"):
        name = f"torch {precision}"
        if chosen(name):
            from transformers import BertModel

            bert = BertModel.from_pretrained(
                str(model), dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
            ).eval()

            def forward(ids, mask, bert=bert):
                with torch.inference_mode():
                    return (
                        bert(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
                        .last_hidden_state.float()
                        .numpy()
                    )

            peers.append(Peer(model, name, precision, forward))
    for kind, files in (("onnxruntime", onnx_files), ("onnxruntime-fused", onnx_fused_files)):
        for file, precision in enumerate(("fp32", "int8")):
            name = f"{kind} {precision}"
            if not chosen(name):
                continue
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(files(model, work)[file], options)
            peers.append(
                Peer(
                    model,
                    name,
                    precision,
                    lambda ids, mask, s=session: s.run(None, {"ids": ids, "mask": mask})[0],
                )
            )
    for precision in ("fp32", "int8"):
        name = f"ctranslate2 {precision}"
        if chosen(name):
            encoder = ctranslate2_encoder(model, work, precision)
            peers.append(
                Peer(
                    model,
                    name,
                    precision,
                    lambda ids, mask, e=encoder: np.array(
                        e.forward_batch(
                            [row[:n].tolist() for row, n in zip(ids, mask.sum(1))]
                        ).last_hidden_state
                    ),
                )
            )
    for kind, precision, hint in (
        ("openvino", "fp32", "f32"),
        ("openvino", "bf16", "bf16"),
        ("openvino-nncf", "int8", "f32"),
    ):
        name = f"{kind} {precision}"
        if chosen(name):
            request = openvino_request(
                openvino_static_file(model, work, calibration)
                if precision == "int8"
                else onnx_files(model, work)[0],
                hint,
            )
            peers.append(
                Peer(
                    model,
                    name,
                    precision,
                    lambda ids, mask, r=request: r.infer({"ids": ids, "mask": mask})[0].copy(),
                )
            )
    for precision in ("fp32", "bf16"):
        if chosen(f"sentence-transformers {precision}"):
            peers.append(SentenceTransformers(model, precision))
    return peers


def versions():
    out = []
    for name in (
        "torch",
        "transformers",
        "sentence_transformers",
        "onnxruntime",
        "ctranslate2",
        "openvino",
        "nncf",
        "tokenizers",
    ):
        try:
            out.append(f"{name} {importlib.import_module(name).__version__}")
        except ImportError:
            pass
    return ", ".join(out)
