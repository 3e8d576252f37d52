"""What tests share: an empty tracking store, models built in memory, a scripted annotator. No network."""

import hashlib
import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for name in (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
):
    os.environ.pop(name, None)

_worker = os.environ.get("PYTEST_XDIST_WORKER")
if _worker:  # a core for each: models take a thread for every core they may use, and threads that wait for one another's cores crawl
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_worker.removeprefix("gw")) % len(_cores)]})

import numpy as np
import pandas as pd
import pytest

from project.annotation.engines.base import Answers, Size
from project.config.task import TaskConfig
from project.data.card import CARDS
from project.data.task import load_task
from project.stats.information import log_normalise
from project.support.parquet import content_hash
from tests.helpers.pets import CARD


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory):
    """A SQLite tracking store, migrated once: the migrations take seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("store")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")).engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def store(migrated_store, tmp_path, monkeypatch):
    """An empty tracking store of its own for one test; the test runs in its temporary folder."""
    import mlflow

    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield tmp_path
    mlflow.set_tracking_uri("")


@pytest.fixture(scope="session")
def small_task():
    """The embedded task, cut small."""
    return load_task(TaskConfig(max_train=32, max_validation=16, max_test=24))


@pytest.fixture(scope="session")
def words():
    """The words of the embedded task, for tokenizers built in memory."""
    return (CARDS / "catalogue.csv").read_text(encoding="utf-8").lower().split()[:3000]


@pytest.fixture
def pets(tmp_path):
    """A card with a file of 60 rows beside it; call it with changes to the rows."""

    def write(change=lambda table: table, card=CARD):
        table = pd.DataFrame(
            {"text": [f"letter number {i}" for i in range(60)], "label": ["cat", "dog", "dog"] * 20}
        )
        change(table).to_csv(tmp_path / "pets.csv", index=False)
        (tmp_path / "pets.yaml").write_text(card)
        return TaskConfig(task=str(tmp_path / "pets.yaml"))

    return write


SHAPES: dict[str, dict[str, object]] = {
    "Bert": {},
    "Roberta": {},
    "Electra": {},
    "MPNet": {},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "ModernBert": {
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "Llama": {"num_key_value_heads": 1},
    "Mistral": {"num_key_value_heads": 1, "sliding_window": 8},
}
OTHER_SHAPES: dict[str, dict[str, object]] = {
    "DistilBert": {
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 64,
        "max_position_embeddings": 64,
    },
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "Bart": {  # its head reads the one place of every text where the token 3 stands
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 64,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "decoder_start_token_id": 3,
    },
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, words):
    """A function that makes a folder with a model of the architecture named, two layers of random weights, and a word tokenizer."""
    import torch
    import transformers

    def make(name):
        if name not in made:
            made[name] = folder = tmp_path_factory.mktemp(f"tiny-{name}")
            vocabulary = _word_tokenizer(words, folder)
            small: dict[str, object] = {
                "vocab_size": len(vocabulary),
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "max_position_embeddings": 66 if name == "Roberta" else 64,
            }
            shape = (
                {"vocab_size": len(vocabulary), **OTHER_SHAPES[name]}
                if name in OTHER_SHAPES
                else {**small, **SHAPES[name]}
            )
            with torch.random.fork_rng():
                torch.manual_seed(0)
                settings = getattr(transformers, f"{name}Config")(**shape, pad_token_id=0)
                getattr(transformers, f"{name}Model")(settings).save_pretrained(folder)
        return made[name]

    made: dict = {}
    return make


def _word_tokenizer(words, folder):
    """Save a tokenizer of whole words, a text between [CLS] and [SEP], to ``folder``; its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        word: index
        for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(words))])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    return vocabulary


@pytest.fixture(scope="session")
def tiny_encoder(tiny):
    """A folder with a BERT of two layers, random weights, and a word tokenizer: it loads in a moment and learns a little."""
    return tiny("Bert")


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory, words):
    """A folder with a Llama of two layers, random weights, a byte-level BPE tokenizer and a context of 1024 tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llm")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    labels = " books books clothing electronics household" * 50
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(words), labels], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = LlamaConfig(
            vocab_size=600,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            initializer_range=0.5,
        )
        LlamaForCausalLM(settings).save_pretrained(folder)
    return folder


def answers_hash(table):
    """The content hash of an annotations table, but for how long the answers took, which is never the same."""
    return content_hash(table.drop(columns="seconds"))


class ScriptedAnnotator:
    """Answers that follow from the text by a fixed rule; keeps what it was asked and stops after ``limit`` texts.

    It fails loudly when it is asked for more than it may answer: a test that pays twice sees it.
    """

    name, keyed_by, shard_size = "scripted", "text", 64

    def __init__(self, n_classes, *, limit=10**9, seed=0, broken=None):
        self.identity = {"engine": "scripted", "seed": str(seed)}
        self.asked: list[str] = []
        self._n_classes, self._limit, self._seed, self._broken = n_classes, limit, seed, broken

    def read(self, prompt, texts):
        if len(self.asked) + len(texts) > self._limit:
            raise RuntimeError(f"the script ends after {self._limit} texts")
        self.asked += texts
        asked = [
            hashlib.sha256(f"{self._seed} {prompt.render(text)}".encode()).digest()
            for text in texts
        ]
        rows = [np.random.default_rng(list(one[:8])).normal(size=self._n_classes) for one in asked]
        n, logs = (
            len(texts),
            log_normalise(np.array(rows)) + np.log(0.5),
        )  # half of the probability is on the labels
        if self._broken and self._broken in texts:
            logs[texts.index(self._broken), 0] = np.nan
        return Answers.exact(logs, np.zeros(n, bool), np.full(n, 100))

    def size(self, prompt, texts):
        return Size(60, np.full(len(texts), 100), 1, exact=True)

    def close(self):
        pass


@pytest.fixture
def scripted():
    return ScriptedAnnotator


@pytest.fixture
def params(tiny_llm, tiny_encoder, store):
    """Parameters of an experiment that takes seconds."""
    from project.config.loading import defaults as entry_point_defaults

    def make(name="main", **changes):
        small = {
            "max_train": "40",
            "max_validation": "16",
            "max_test": "24",
            "annotator_model": str(tiny_llm),
            "annotator_dtype": "float32",
            "ensemble_size": "2",
            "encoder": str(tiny_encoder),
            "seeds": "2",
            "epochs": "2",
            "learning_rate": "0.003",
            "workers": "1",
            "workspace": str(store / "work"),
        }
        defaults = entry_point_defaults(name)
        return {
            **defaults,
            **{key: value for key, value in {**small, **changes}.items() if key in defaults},
        }

    return make


@pytest.fixture(scope="module")
def vocabulary(tiny_llm):
    """The text of every token of the tiny LLM."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llm)
    return [tokenizer.decode([token]) for token in range(len(tokenizer))]


@pytest.fixture
def serve():
    """A function that starts servers with the OpenAI protocol and annotators for them."""
    from tests.helpers.serving import serving

    with serving() as open_both:
        yield open_both


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A tracking server for a whole file, whose tests must be of one group: pytest.mark.xdist_group."""
    from tests.helpers.servers import tracking_server

    with tracking_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def line(server, tmp_path, monkeypatch):
    """A line to the server that can be cut, to which this process points; a store that is away is tried again at once."""
    from tests.helpers.servers import Proxy, client

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    monkeypatch.setattr("project.tracking.outbox._RETRY_AFTER", 0.0)
    monkeypatch.setattr("project.tracking.outbox._LAST_PAUSES", (0.1,))
    monkeypatch.setattr("project.tracking.delivery._PAUSES", (0.05,))
    with Proxy(server.port) as proxy, client(proxy.url):
        yield proxy
