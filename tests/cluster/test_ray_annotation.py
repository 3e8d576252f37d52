"""Annotation on a real Ray cluster of three nodes on this machine."""

import importlib.util
from collections import Counter

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed here; make test-cluster installs it", allow_module_level=True)

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from entrypoints.annotate import annotate as annotate_entry_point
from project.annotation import on_cluster, orders
from project.annotation.annotate import annotate
from project.annotation.cache import AnswerCache
from project.annotation.cost import Meter
from project.annotation.engines.factory import open_annotators
from project.annotation.prompt import Prompt
from project.cluster.checks import checked_cluster
from project.config.annotation import AnnotateConfig, SpendConfig
from project.config.experiment import ExperimentConfig
from project.config.loading import defaults
from project.support.errors import AssayError, Incomplete
from tests.helpers import ray_engines
from tests.helpers.annotators import answers_hash
from tests.helpers.faulty_server import EXACT
from tests.helpers.ray_tasks import KEY_OF_NODES, KEY_VARIABLE, MARKS, NODE
from tests.helpers.serving import task_prompt

pytestmark = MARKS
ROOT = Path(__file__).parents[2]
PROMPTS = [Prompt(draw, f"Draw {draw}: ", "", ("a", "b")) for draw in range(2)]


@pytest.fixture(scope="module")
def cluster(nodes):
    """One connection for most tests."""
    with checked_cluster(nodes.address) as connection:
        yield connection


@pytest.fixture
def engines(registries):
    """The engines of the tests."""
    ray_engines.register()


def config_of(annotator, model, **changes):
    section = AnnotateConfig(
        annotator=annotator, annotator_model=str(model), min_label_mass=0, **changes
    )
    return ExperimentConfig(annotate=section)


def hashes(draws):
    return [answers_hash(draw.table) for draw in draws]


def run(annotators, config, texts, folder, prompts=PROMPTS, progress=lambda n: None):
    """The annotations of ``texts`` under all prompts."""
    examples = pd.DataFrame({"example_id": [f"e{i}" for i in range(len(texts))], "text": texts})
    labels = [f"label{index}" for index in range(len(prompts[0].answers))]
    draws = annotate(
        annotators,
        prompts,
        examples,
        labels,
        config=config.annotate,
        folder=folder,
        progress=progress,
        meter=Meter(SpendConfig()),
    )
    try:
        return list(draws)
    finally:
        annotators[0].close()


def test_a_real_model_that_the_driver_sends_gives_the_same_bits_as_without_ray(
    cluster, tiny_llm, words, small_task, tmp_path, monkeypatch
):
    config = config_of("transformers", tiny_llm, annotator_dtype="float32")
    prompts = [Prompt(draw, f"Draw {draw}: ", "", (" the", " of")) for draw in range(2)]
    texts = [" ".join(words[index * 5 : index * 5 + 1 + index % 9]) for index in range(150)]

    def order_of(config, task):
        # The nodes are on this machine, so that the folder has another name for them.
        order = orders.with_files(cluster, orders.order_of(config, task))
        assert order.source
        return order._replace(source=dataclasses.replace(order.source, location="/not/there"))

    monkeypatch.setattr(on_cluster, "order_of", order_of)
    monkeypatch.setattr(orders, "files_of", lambda order: [*tiny_llm.iterdir()])
    annotators = on_cluster.open_on_cluster(cluster, config, small_task)
    assert annotators.where == "3 copies on 3 nodes"
    there = run(annotators, config, texts, tmp_path / "there", prompts)
    here = run(open_annotators(config, small_task), config, texts, tmp_path / "here", prompts)

    assert [draw.digest for draw in there] == [draw.digest for draw in here]
    assert hashes(there) == hashes(here)
    assert there[0].n_asked == len(set(texts))


def test_a_node_killed_in_the_middle_loses_nothing_and_pays_at_most_for_its_block_again(
    engines, cluster, nodes, small_task, tmp_path, capfd
):
    config = config_of("handing-over", tmp_path / "asked.txt")
    texts = [f"text number {number}" for number in range(180)]
    killed: list[int] = []

    def kill(n_done):
        if not killed and all(one.copy.n_answered for one in annotators):
            nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
            killed.append(1)

    annotators = on_cluster.open_on_cluster(cluster, config, small_task)
    try:
        there = run(annotators, config, texts, tmp_path / "there", progress=kill)
    finally:
        nodes.add_node(**NODE)
    asked = Counter((tmp_path / "asked.txt").read_text().splitlines())
    here = run(open_annotators(config, small_task), config, texts, tmp_path / "here")

    assert len(annotators) >= 2
    assert killed
    assert "asked again" in capfd.readouterr().err
    assert hashes(there) == hashes(here)
    n_twice = sum(asked.values()) - 2 * len(texts)
    assert asked.keys() == set(texts)
    assert 0 <= n_twice <= ray_engines.LoggedAnnotator.shard_size


def test_an_engine_that_always_dies_is_named_with_its_error(engines, cluster, small_task, tmp_path):
    config = config_of("never-starting", tmp_path / "asked.txt")
    texts = [f"text number {number}" for number in range(100)]

    with pytest.raises(
        Incomplete, match=r"never-starting.*(3 times before it answered|3 workers died).*ActorDied"
    ):
        run(
            on_cluster.open_on_cluster(cluster, config, small_task),
            config,
            texts,
            tmp_path / "there",
        )


def test_a_text_that_ends_every_worker_is_given_up_after_the_others_are_answered(
    engines, cluster, small_task, tmp_path
):
    config = config_of("handing-over", tmp_path / "asked.txt")
    texts = [f"text number {number}" for number in range(60)]
    texts.insert(20, ray_engines.DEADLY)

    with pytest.raises(Incomplete, match="3 workers died with the same texts"):
        run(
            on_cluster.open_on_cluster(cluster, config, small_task),
            config,
            texts,
            tmp_path / "there",
            PROMPTS[:1],
        )

    asked = Counter((tmp_path / "asked.txt").read_text().splitlines())
    block = texts[16:24]  # in which the text stands
    assert {text for text in texts if text not in block} <= asked.keys()
    assert all(n == 1 for text, n in asked.items() if text not in block)


def test_a_node_that_comes_later_gets_a_copy(engines, cluster, nodes, small_task, tmp_path):
    config = config_of("logged", tmp_path / "asked.txt")
    texts = [f"text number {number}" for number in range(300)]
    counts = []
    added: list[object] = []

    def add(n_done):
        if n_done and not added:
            added.append(nodes.add_node(**NODE))
        counts.append(len(annotators))

    annotators = on_cluster.open_on_cluster(cluster, config, small_task)
    try:
        run(annotators, config, texts, tmp_path / "there", progress=add)
    finally:
        for node in added:
            nodes.remove_node(node)

    assert counts[0] == 3
    assert max(counts) == 4


def prompts_in(bodies):
    """Token ids of every prompt in requests of one prompt or of many."""
    prompts = [body["prompt"] for body in bodies]
    many = [one if isinstance(one[0], list) else [one] for one in prompts]
    return [tuple(ids) for one in many for ids in one]


def test_nodes_send_to_a_server_with_their_own_key_and_get_the_same_answers(
    cluster, serve, vocabulary, tiny_llm, small_task, tmp_path, monkeypatch
):
    monkeypatch.setenv(KEY_VARIABLE, "sk-of-the-driver")
    server, here = serve(
        vocabulary,
        tokenizer=tiny_llm,
        can={EXACT},
        key=KEY_OF_NODES,
        settings={"api_key_variable": KEY_VARIABLE},
    )
    config = dataclasses.replace(config_of("openai", "model"), server=here._server)
    prompts = [task_prompt(small_task, "name")]
    texts = [f"text number {number}" for number in range(150)]
    copies = on_cluster.open_on_cluster(cluster, config, small_task)
    there = run(copies, config, texts, tmp_path / "there", prompts)
    sent = Counter(prompts_in(server.posts))
    n_posts = len(server.posts)
    monkeypatch.setenv(KEY_VARIABLE, KEY_OF_NODES)
    alone = run([here], config, texts, tmp_path / "here", prompts)
    sent_here = Counter(prompts_in(server.posts[n_posts:]))

    assert [draw.digest for draw in there] == [draw.digest for draw in alone]
    assert hashes(there) == hashes(alone)
    # Each copy tries the server with the same few prompts. No text is sent twice.
    assert sent.keys() == sent_here.keys()
    assert len(sent - sent_here) < 30


def test_a_key_that_is_missing_on_the_nodes_is_named_and_does_not_travel(
    cluster, small_task, monkeypatch
):
    monkeypatch.setenv("OTHER_KEY", "sk-secret-of-the-driver")
    config = config_of("openai", "model")
    server = dataclasses.replace(
        config.server, api_key_variable="OTHER_KEY", annotator_tokenizer="none"
    )

    with pytest.raises(
        AssayError,
        match=r"node [\d.]+: the environment variable OTHER_KEY is not set there.*each node\.$",
    ):
        on_cluster.open_on_cluster(cluster, dataclasses.replace(config, server=server), small_task)


def test_a_model_that_no_node_can_hold_is_refused_with_both_sizes(cluster, small_task, tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    n_bytes = 1 << 30
    tensor = {"dtype": "BF16", "shape": [n_bytes // 2], "data_offsets": [0, n_bytes]}
    header = json.dumps({"weight": tensor}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + n_bytes)  # zeros that take no place on the disk
    config = config_of("transformers", folder)

    with pytest.raises(AssayError, match=r"large needs 2\.5 GiB of memory.*has 2\.0 GiB"):
        on_cluster.open_on_cluster(cluster, config, small_task)


def test_a_driver_that_is_killed_asks_for_the_rest_and_gets_the_answers_of_a_run_without_ray(
    tiny_llm, store, tmp_path
):
    work = tmp_path / "work"
    settings = {
        "annotator_model": tiny_llm,
        "annotator_dtype": "float32",
        "min_label_mass": 0,
        "max_train": 190,
        "ensemble_size": 3,
    }
    command = [sys.executable, "-m", "entrypoints.annotate", "--workspace", str(work)]
    command += ["--cluster", "local"]
    command += [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    driver = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while driver.poll() is None and not stored(work):
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    first = stored(work)

    again = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    both = stored(work)

    assert again.returncode == 0, again.stderr
    assert 0 < len(first) < len(both)
    assert set(first) <= set(both)
    # Each answer stands on disk once: what the first driver had was not asked again.
    assert len(both) == len(set(both)) == 3 * 190
    params = {name: str(value) for name, value in settings.items()}
    here = tmp_path / "here"
    annotate_entry_point({**defaults("annotate"), **params, "workspace": str(here)})
    assert sorted(stored(here)) == sorted(both)


def stored(workspace):
    """Question, text key and probabilities of every answer on disk."""
    rows = []
    for folder in sorted((workspace / "annotations").glob("*")):
        table = AnswerCache(folder).load()
        if table is not None:
            frame = table.to_pandas().drop(columns="seconds")
            rows += [(folder.name, *map(str, row)) for row in frame.itertuples(index=False)]
    return rows
