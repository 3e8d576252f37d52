"""MLproject and conda.yaml: every parameter reaches its entry point; one environment for all."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from mlflow.projects.utils import load_project

from entrypoints.wiring.command import chosen_parameters, given_parameters
from entrypoints.wiring.help_text import help_text
from project.config.entry_points import ENTRY_POINTS
from project.config.fields import parameters, written
from project.config.loading import COMMAND_LINE, defaults
from project.support.errors import AssayError

ROOT = Path(__file__).parents[2]
PROJECT = load_project(str(ROOT))

# The parameters that MLproject declared at commit e282f68, which keep their names for ever.
TASK = """task data text_column label_column id_column where bad_rows unlabelled max_train
    max_validation max_test split_seed"""
ANNOTATION = """n_demonstrations demonstration_choice ensemble_size demonstration_seed label_style
    permute_labels template chat_template system_prompt annotator annotator_model
    annotator_revision annotator_dtype annotator_batch_tokens calibration repeats temperature
    tensor_parallel annotator_processes gpu_memory max_model_len annotator_url
    annotator_tokenizer api_key_variable max_concurrency request_timeout request_retries recorded
    recorded_columns dry_run price_input price_output price_hour price_label max_cost
    max_minutes"""
LABELS = """arms replace_share ensemble_share consistency_below audit_share soft_labels flip_rate
    human tie_seed"""
TRAINING = """encoder encoder_revision remote_code seeds epochs train_batch_size
    gradient_accumulation eval_batch_size learning_rate scheduler warmup_ratio weight_decay
    adam_beta1 adam_beta2 adam_epsilon max_grad_norm dropout max_length lora_rank lora_alpha
    lora_dropout targets target_temperature target_mix label_smoothing class_weights batching
    validation_labels precision workers checkpoint_seconds log_model"""
VERDICT = "tolerance least_alpha"
STORE = "workspace reuse private register_prompt"
EXPERIMENT = (TASK, ANNOTATION, LABELS, "replicate", TRAINING, VERDICT, STORE)
DESIGN = (TASK, ANNOTATION, LABELS, TRAINING, STORE)
OLD_NAMES = {
    "main": EXPERIMENT,
    "annotate": (TASK, ANNOTATION, "splits", STORE),
    "finetune": (TASK, "labels", TRAINING, STORE),
    "curve": (*DESIGN, "sizes min_size curve_points curve_seed"),
    "grid": (*DESIGN, "grid_learning_rate grid_train_batch_size grid_epochs grid_seeds"),
    "budget": (*DESIGN, "reach", VERDICT),
    "ask": (TASK, ANNOTATION, LABELS, "show_llm ask_seed", STORE),
    "sweep": (
        *DESIGN,
        """sweep_ensemble_size sweep_n_demonstrations sweep_calibration objective price_point
        sampler trials sweep_seeds prune sweep_name sweep_storage sweep_seed""",
    ),
    "report": ("run_id workspace", VERDICT),
    "relog": ("workspace",),
    "reap": ("run_id whose dry_run",),
    "rerun": ("run_id workspace reuse trust",),
    "check": EXPERIMENT,
}
ALIAS_VALUES = {"least_alpha": "0.5", "whose": "anybody"}
"""Values for old names that are aliases today; all other names are tried with their default."""


def words_of(name, given):
    """The words after ``python -m MODULE`` with which ``mlflow run -P`` starts an entry point."""
    command = PROJECT.get_entry_point(name).compute_command(given, None)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", f"entrypoints.{name}"]
    return words[3:]


def test_mlproject_has_every_entry_point_and_no_other():
    declared = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]

    assert declared.keys() == ENTRY_POINTS.keys()


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_mlproject_declares_the_everyday_parameters_with_their_defaults(name):
    entry = ENTRY_POINTS[name]
    default_of = {item.name: written(item.default) for item in parameters(*entry.sections)}
    declared = PROJECT.get_entry_point(name).parameters

    assert {key: str(parameter.default) for key, parameter in declared.items()} == {
        key: default_of[key] for key in entry.everyday()
    }


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_declared_parameter_reaches_the_entry_point(name):
    declared = ENTRY_POINTS[name].everyday()
    values = {key: f"value of {key}" for key in declared}

    assert given_parameters(ENTRY_POINTS[name], words_of(name, values)) == values
    assert given_parameters(ENTRY_POINTS[name], words_of(name, {})).keys() == set(declared)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_other_parameter_reaches_the_entry_point_too(name):
    entry = ENTRY_POINTS[name]
    others = [key for key in entry.rules() if key not in entry.everyday()]
    values = {key: f"the 'value' of {key}" for key in others}
    given = given_parameters(entry, words_of(name, values))

    assert {key: given[key] for key in others} == values


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_mlflow_run_without_parameters_gives_every_default(name):
    chosen = chosen_parameters(ENTRY_POINTS[name], words_of(name, {}))

    assert chosen.texts == defaults(name)
    assert COMMAND_LINE not in chosen.origins.values()
    assert not chosen.overruled


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_parameters_keep_the_names_that_they_had_when_mlproject_listed_them_all(name):
    entry = ENTRY_POINTS[name]
    own_names = {**{key: key for key in entry.rules()}, **entry.aliases()}
    default_of = defaults(name)
    for key in " ".join(OLD_NAMES.get(name, ())).split():
        value = ALIAS_VALUES.get(key, default_of[own_names[key]])
        chosen = chosen_parameters(entry, words_of(name, {key: value}))
        rule = entry.rules()[own_names[key]]
        assert chosen.texts[own_names[key]] == rule.value_aliases.get(value, value)


def test_an_alias_has_precedence_over_the_default_that_mlflow_run_passes(capsys):
    chosen = chosen_parameters(ENTRY_POINTS["main"], words_of("main", {"alpha": "7"}))
    assert chosen.texts["replace_share"] == "7"
    assert chosen.overruled == {"replace_share": "5,25"}
    assert "replace_share is 7, given under another name" in capsys.readouterr().err

    both = words_of("main", {"alpha": "7", "replace_share": "8"})
    with pytest.raises(AssayError, match=r"replace_share is given twice in the command line"):
        chosen_parameters(ENTRY_POINTS["main"], both)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_help_shows_type_and_default_of_every_parameter(name):
    entry = ENTRY_POINTS[name]
    text = help_text(entry, every=True)

    for key in entry.rules():
        heading = rf"^  --{key} \[(text|int|float|true or false).*; default: .+\]\n      \w"
        assert re.search(heading, text, re.MULTILINE), key
    everyday = re.findall(r"^  --(\w+)", help_text(entry), re.MULTILINE)
    assert everyday == [*entry.everyday(), "config", "show_config"]


def test_conda_yaml_names_the_page_about_gpu_hosts():
    assert "docs/gpu-host.md" in (ROOT / "conda.yaml").read_text(encoding="utf-8")
    assert (ROOT / "docs/gpu-host.md").is_file()


def test_conda_yaml_uses_only_what_every_environment_manager_reads():
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]

    assert re.fullmatch(r"python=3\.11(\.\d+)?", python)
    assert pip == "pip"
    assert list(packages) == ["pip"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+==[0-9.]+", line) for line in packages["pip"])


def test_the_laptop_and_the_gpu_host_have_the_same_versions_and_no_address():
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    text = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("requirements.txt", "requirements-models.txt")
    )
    # pip does not distinguish upper and lower case in names
    locked = dict(line.lower().split("==") for line in text.splitlines() if "==" in line)
    wanted = dict(line.lower().split("==") for line in environment["dependencies"][2]["pip"])
    wanted.pop("vllm")

    assert wanted.items() <= locked.items()
    others = "".join(
        (ROOT / f"requirements-{name}.txt").read_text(encoding="utf-8") for name in ("dev", "vllm")
    )
    assert "://" not in text + others
