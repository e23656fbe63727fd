#!/usr/bin/env python3
"""Makes embedding/ of this folder: losses of sentence-transformers over embeddings, and gradients.

    python3 generate_embedding.py    # writes test/golden/embedding

cases.txt has a line for each case: name, pooling, normalize (0 or 1), activation of a Dense module
or "-", loss, scale, margin, distance, dimensions of Matryoshka or "-", shape. NAME.safetensors has
its packed ids ("input_ids", "lengths", "offsets" of the examples), "scores", "labels" or "targets", the
Dense module, the loss, and of every parameter with a gradient its norm and some elements. The model is
sentence/bases/bert, in float64 and without dropout. evaluation.tsv has ids and what
the evaluators give. Nothing is downloaded.
"""

import os
import random
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
import numpy  # noqa: E402
import safetensors.numpy  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer import evaluation, losses  # noqa: E402
from sentence_transformers.sentence_transformer.modules import (  # noqa: E402
    Dense,
    Normalize,
    Pooling,
    Transformer,
)

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, "sentence", "bases", "bert")
OUT = os.path.join(HERE, "embedding")
SAMPLES = 24
DISTANCES = {
    "triplet": losses.TripletDistanceMetric,
    "contrastive": losses.SiameseDistanceMetric,
    "batch_all_triplet": losses.BatchHardTripletLossDistanceFunction,
}
# name, pooling, normalize, activation, loss, scale, margin, distance, dims, shape
CASES = [
    ("ranking", "mean", 1, "-", "multiple_negatives_ranking", 20, 0, "-", "-", "pairs"),
    ("ranking_dense", "cls", 1, "tanh", "multiple_negatives_ranking", 20, 0, "-", "-", "pairs"),
    ("ranking_max", "max", 0, "-", "multiple_negatives_ranking", 5, 0, "-", "-", "negatives"),
    ("ranking_dims", "mean", 0, "-", "multiple_negatives_ranking", 20, 0, "-", "16,8,4", "pairs"),
    ("symmetric", "weightedmean", 1, "-", "multiple_negatives_symmetric_ranking", 20, 0, "-", "-",
     "negatives"),
    ("triplet", "mean", 0, "-", "triplet", 0, 5, "euclidean", "-", "negative"),
    ("triplet_cosine", "mean", 1, "-", "triplet", 0, 0.5, "cosine", "-", "negative"),
    ("triplet_manhattan", "lasttoken", 0, "-", "triplet", 0, 3, "manhattan", "-", "negative"),
    ("triplet_dims", "mean", 1, "-", "triplet", 0, 1, "euclidean", "16,4", "negative"),
    ("cosent", "mean", 0, "-", "cosent", 20, 0, "-", "-", "scores"),
    ("cosent_two", "mean+max", 1, "gelu", "cosent", 20, 0, "-", "8,4", "scores"),
    ("cosine", "mean_sqrt_len_tokens", 0, "-", "cosine_similarity", 0, 0, "-", "-", "scores"),
    ("contrastive", "mean", 1, "-", "contrastive", 0, 0.5, "cosine", "-", "binary"),
    ("contrastive_euclidean", "mean", 1, "-", "contrastive", 0, 1, "euclidean", "-", "binary"),
    ("contrastive_labels", "mean", 1, "-", "contrastive", 0, 0.5, "cosine", "-", "labels"),
    ("batch_all", "mean", 0, "-", "batch_all_triplet", 0, 5, "euclidean", "-", "labels"),
    ("batch_all_cosine", "cls", 1, "-", "batch_all_triplet", 0, 0.3, "cosine", "-", "labels"),
    ("mse", "mean", 1, "-", "mse", 0, 0, "-", "-", "texts"),
    ("mse_dense", "mean+max", 0, "tanh", "mse", 0, 0, "-", "-", "texts"),
]


def digest(tensor):
    flat = tensor.detach().double().numpy().reshape(-1)
    stride = max(1, -(-flat.size // SAMPLES)) | 1  # odd, so that it meets every column
    return numpy.concatenate([[numpy.sqrt((flat**2).sum())], flat[::stride]]).astype(numpy.float32)


def build(pooling, normalize, activation):
    transformer = Transformer(BASE)
    pool = Pooling(16, pooling_mode=tuple(pooling.split("+")) if "+" in pooling else pooling)
    modules = [transformer, pool]
    if activation != "-":
        torch.manual_seed(5)
        function = {"tanh": torch.nn.Tanh(), "gelu": torch.nn.GELU()}[activation]
        modules.append(
            Dense(pool.get_embedding_dimension(), 8, bias=True, activation_function=function)
        )
    if normalize:
        modules.append(Normalize())
    return SentenceTransformer(modules=modules, device="cpu").double().eval()


def loss_of(model, kind, scale, margin, distance, dims):
    if kind == "multiple_negatives_ranking":
        loss = losses.MultipleNegativesRankingLoss(model, scale=scale)
    elif kind == "multiple_negatives_symmetric_ranking":
        loss = losses.MultipleNegativesSymmetricRankingLoss(model, scale=scale)
    elif kind == "cosent":
        loss = losses.CoSENTLoss(model, scale=scale)
    elif kind == "cosine_similarity":
        loss = losses.CosineSimilarityLoss(model)
    elif kind == "mse":
        loss = losses.MSELoss(model)
    elif kind == "triplet":
        metric = getattr(DISTANCES[kind], distance.upper())
        loss = losses.TripletLoss(model, distance_metric=metric, triplet_margin=margin)
    elif kind == "contrastive":
        name = "COSINE_DISTANCE" if distance == "cosine" else distance.upper()
        metric = getattr(DISTANCES[kind], name)
        loss = losses.ContrastiveLoss(model, distance_metric=metric, margin=margin)
    else:
        metric = getattr(DISTANCES[kind], distance + "_distance")
        loss = losses.BatchAllTripletLoss(model, distance_metric=metric, margin=margin)
    if dims != "-":
        sizes = [int(size) for size in dims.split(",")]
        loss = losses.MatryoshkaLoss(model, loss, matryoshka_dims=sizes)
    return loss


def text(generator):
    """[CLS], some ids of words, [SEP]"""
    length = generator.randrange(1, 9)
    return [2] + [generator.randrange(5, 24) for _ in range(length)] + [3]


def features(texts):
    width = max(len(ids) for ids in texts)
    return {
        "input_ids": torch.tensor([ids + [0] * (width - len(ids)) for ids in texts]),
        "attention_mask": torch.tensor(
            [[1] * len(ids) + [0] * (width - len(ids)) for ids in texts]
        ),
    }


def examples_of(shape, generator):
    """Columns of texts, and labels or None."""
    n = 8 if shape == "labels" else 6
    columns = {"pairs": 2, "negative": 3, "negatives": 4, "scores": 2, "binary": 2, "labels": 1, "texts": 1}
    texts = [[text(generator) for _ in range(n)] for _ in range(columns[shape])]
    labels = None
    if shape == "scores":
        labels = torch.tensor([0.0, 0.2, 0.2, 0.6, 0.8, 1.0], dtype=torch.float64)
    elif shape == "binary":
        labels = torch.tensor([1, 0, 1, 0, 0, 1])
    elif shape == "labels":
        labels = torch.tensor([0, 0, 1, 2, 1, 2, 0, 3])
    return texts, labels


def all_pairs(texts, labels):
    """Every pair of labelled texts, with 1 where the label is the same."""
    pairs = [(i, j) for i in range(len(texts)) for j in range(i)]
    columns = [[texts[i] for i, _ in pairs], [texts[j] for _, j in pairs]]
    return columns, torch.tensor([int(labels[i] == labels[j]) for i, j in pairs])


def make(case):
    name, pooling, normalize, activation, kind, scale, margin, distance, dims, shape = case
    generator = random.Random(name)
    model = build(pooling, normalize, activation)
    loss = loss_of(model, kind, scale, margin, distance, dims)
    columns, labels = examples_of(shape, generator)
    if shape == "texts":
        torch.manual_seed(6)
        size = (len(columns[0]), model.get_embedding_dimension())
        labels = torch.randn(*size, dtype=torch.float64).float().double()
    given, wanted = columns, labels
    if kind == "contrastive" and shape == "labels":
        given, wanted = all_pairs(columns[0], labels)
    value = loss([features(texts) for texts in given], wanted)
    value.backward()
    packed = [column[i] for i in range(len(columns[0])) for column in columns]
    tensors = {
        "input_ids": numpy.array(sum(packed, []), numpy.float32),
        "lengths": numpy.array([len(ids) for ids in packed], numpy.float32),
        "offsets": numpy.arange(len(columns[0]) + 1, dtype=numpy.float32) * len(columns),
        "loss": numpy.array([value.item()], numpy.float32),
    }
    if labels is not None:
        key = {"labels": "labels", "texts": "targets"}.get(shape, "scores")
        tensors[key] = labels.numpy().astype(numpy.float32)
    for key, parameter in model.named_parameters():
        dense = ".linear." in key
        if dense:
            tensors["dense." + key.rsplit(".", 1)[1]] = parameter.detach().numpy().astype("f4")
        if parameter.grad is not None:
            short = "dense." + key.rsplit(".", 1)[1] if dense else key.split("model.", 1)[1]
            tensors["gradient." + short] = digest(parameter.grad)
    safetensors.numpy.save_file(tensors, os.path.join(OUT, name + ".safetensors"))
    print(name, value.item())


def evaluations():
    """Texts as words, and what the evaluators make of them."""
    model = SentenceTransformer(
        modules=[Transformer(BASE), Pooling(16, pooling_mode="mean"), Normalize()], device="cpu"
    )
    generator = random.Random("evaluation")
    words = "the a cat dog sat ran on mat query passage search is what who".split()

    def sentence():
        return " ".join(generator.choice(words) for _ in range(generator.randrange(2, 7)))

    lines = []
    pairs = [(sentence(), sentence(), round(generator.random(), 3)) for _ in range(40)]
    similarity = evaluation.EmbeddingSimilarityEvaluator(*zip(*pairs))
    result = similarity(model)
    lines += ["score\t%s\t%s\t%s" % pair for pair in pairs]
    for key in ("spearman_cosine", "pearson_cosine"):
        lines.append("metric\tscore\t%s\t%.9f" % (key.split("_")[0], result[key]))
    anchors = [sentence() for _ in range(30)]
    positives = [sentence() for _ in range(25)]
    pairs = [(a, generator.choice(positives)) for a in anchors + anchors[:12]]
    documents = list(dict.fromkeys(b for _, b in pairs))
    queries = list(dict.fromkeys(a for a, _ in pairs))
    relevant = {}
    for a, b in pairs:
        relevant.setdefault(str(queries.index(a)), set()).add(str(documents.index(b)))
    retrieval = evaluation.InformationRetrievalEvaluator(
        {str(i): q for i, q in enumerate(queries)},
        {str(i): d for i, d in enumerate(documents)},
        relevant,
        accuracy_at_k=[1],
        precision_recall_at_k=[10],
        mrr_at_k=[10],
        ndcg_at_k=[10],
        map_at_k=[100],
    )
    result = retrieval(model)
    lines += ["pair\t%s\t%s" % pair for pair in pairs]
    for key in ("ndcg@10", "mrr@10", "map@100", "accuracy@1", "recall@10"):
        lines.append("metric\tpair\t%s\t%.9f" % (key, result["cosine_" + key]))
    with open(os.path.join(OUT, "evaluation.tsv"), "w") as file:
        file.write("\n".join(lines) + "\n")


def main():
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "cases.txt"), "w") as file:
        for case in CASES:
            file.write(" ".join(str(value) for value in case) + "\n")
    for case in CASES:
        make(case)
    evaluations()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_HOME"] = scratch
        main()
