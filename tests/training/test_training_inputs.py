"""The digest of a training changes with everything that can change its predictions."""

import dataclasses

from project.training.inputs import seed_digest
from project.training.tokens import Tokens
from tests.helpers.trainings import with_phase


def test_the_digest_changes_with_everything_that_can_change_a_prediction(
    encoder, config, data, test_indices
):
    def identity(
        encoder=encoder, config=config, data=data, rows=test_indices, names=("t1", "a"), seed=0
    ):
        return seed_digest(encoder, config, data, test_indices=rows, names=names, seed=seed)

    replace, first = dataclasses.replace, data.phases[0]
    changed = [
        identity(replace(encoder, precision="bf16")),
        identity(replace(encoder, max_length=32)),
        identity(data=with_phase(data, indices=first.indices[::-1])),
        identity(data=with_phase(data, targets=first.targets[::-1])),
        identity(data=with_phase(data, weights=first.weights * 2)),
        identity(data=replace(data, phases=(first, first))),
        identity(data=replace(data, validation_indices=first.indices[:1])),
        identity(data=replace(data, validation_labels=1 - data.validation_labels)),
        identity(data=replace(data, tokens=Tokens(data.tokens.folder.with_name("other")))),
        identity(rows=test_indices[::-1]),
        identity(names=("t1", "b")),
        identity(seed=1),
        identity(config=replace(config, evaluations=2)),
        identity(config=replace(config, min_steps=1000)),
        *(
            identity(config=replace(config, **{name: value}))
            for name, value in OTHER_RECIPE.items()
        ),
    ]

    assert len({identity(), *changed}) == len(changed) + 1
    assert (
        identity(config=replace(config, seeds=9, workers=3, checkpoint_seconds=1.0)) == identity()
    )
    # The same steps and evaluations, whatever rule led to them.
    assert identity(config=replace(config, recipe="paper", min_steps=1)) == identity()


OTHER_RECIPE = {
    "epochs": 4,
    "train_batch_size": 9,
    "gradient_accumulation": 2,
    "eval_batch_size": 9,
    "learning_rate": 1e-5,
    "scheduler": "cosine",
    "warmup_ratio": 0.5,
    "weight_decay": 0.5,
    "adam_beta1": 0.5,
    "adam_beta2": 0.5,
    "adam_epsilon": 0.5,
    "max_grad_norm": 0.5,
    "dropout": 0.5,
    "lora_rank": 2,
    "lora_alpha": 2,
    "lora_dropout": 0.5,
    "batching": "padded",
}


def test_every_hyper_parameter_is_part_of_the_digest(config):
    assert config.hyper_parameters().keys() == OTHER_RECIPE.keys()
