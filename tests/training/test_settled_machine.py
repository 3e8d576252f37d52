"""Device and precision are those of the machine that trains, wherever the command runs."""

import pytest

from project.cluster.files import model_files
from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.training.encoder import Encoder
from project.training.on_cluster import common_machine
from project.training.precision import Machine, precision, this_machine

GPU = Machine("cuda", "bf16")
OLD_GPU = Machine("cuda", "fp16")
CPU = Machine("cpu", "fp32")
BF16_CPU = Machine("cpu", "bf16")


@pytest.mark.parametrize(
    ("machines", "common"),
    [
        ([CPU, CPU], CPU),
        ([BF16_CPU, BF16_CPU], BF16_CPU),
        ([BF16_CPU, CPU], CPU),
        ([GPU, CPU], GPU),
        ([GPU, OLD_GPU, BF16_CPU], OLD_GPU),
    ],
)
def test_all_nodes_compute_alike_on_gpus_where_there_are_any(machines, common):
    assert common_machine(machines) == common


def test_auto_is_the_fastest_precision_of_the_machine_that_trains():
    assert precision("auto", GPU) == "bf16"
    assert precision("auto", CPU) == "fp32"
    assert precision("fp16", OLD_GPU) == "fp16"
    with pytest.raises(AssayError, match="fp16 needs a GPU"):
        precision("fp16", CPU)


def test_the_identity_of_an_encoder_names_the_device_that_trains_it(tiny_encoder):
    config = FinetuneConfig(encoder=str(tiny_encoder))
    here = Encoder.find(config)
    there = Encoder.find(config, OLD_GPU)

    assert there.identity[1:3] == ["fp16", "cuda"]
    assert here.identity == Encoder.find(config, this_machine()).identity
    assert here.identity[0] == there.identity[0]


def test_of_a_model_its_files_at_the_top_are_sent_without_weights_in_other_formats(tmp_path):
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = Encoder.find(FinetuneConfig()).source
    moved = type(source)("moved", str(tmp_path), None, "folder")

    assert {path.name for path in model_files(moved)} == {"config.json", "model.safetensors"}
