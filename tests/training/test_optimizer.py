"""The optimizer and its schedules: those of transformers, with every hyper-parameter."""

import dataclasses

import pytest
import torch
from transformers import get_scheduler

from project.config.recipe import rate_factor
from project.training.optimizer import build_optimizer


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant_with_warmup"])
def test_the_schedules_are_those_of_transformers(scheduler):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = get_scheduler(scheduler, optimizer, num_warmup_steps=3, num_training_steps=60)
    factor = rate_factor(scheduler.removesuffix("_with_warmup"), 0.05, 60)
    for step in range(60):
        assert factor(step) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_biases_and_norms_do_not_decay_and_the_head_has_the_configured_dropout(encoder, config):
    model = encoder.model(4, dataclasses.replace(config, dropout=0.3))
    groups = build_optimizer(model.parameters(), config).param_groups

    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert {parameter.ndim for parameter in groups[1]["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.dropout.p == 0.3


def test_every_hyper_parameter_reaches_the_optimizer(encoder, config):
    other = dataclasses.replace(
        config, adam_beta1=0.5, adam_beta2=0.6, adam_epsilon=0.25, weight_decay=0.125
    )
    group = build_optimizer(encoder.model(2, config).parameters(), other).param_groups[0]

    assert (group["betas"], group["eps"], group["weight_decay"], group["lr"]) == (
        (0.5, 0.6),
        0.25,
        0.125,
        3e-3,
    )
