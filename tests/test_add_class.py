"""A word the network never heard: a readout row and a label column."""

import pytest
import torch

import synaptrace as st
from synaptrace import rules
from synaptrace.build import build
from synaptrace.errors import UserError
from synaptrace.seeds import generator

STEPS, BATCH, INPUTS, CLASSES = 10, 6, 12, 3


def make(train_label=False, **options):
    draws = generator(0, "weights")
    net = st.mlp(INPUTS, [16], CLASSES, neuron=st.LIF(1.0, 0.8, 0.8), recurrent=True,
                 generator=draws, **options)  # fmt: skip
    return net, rules.build(net, contrast="class", train_label=train_label, generator=draws)


def events(batch=BATCH):
    return torch.rand(STEPS, batch, INPUTS, generator=generator(0, "events"))


def test_old_classes_are_told_apart_as_before_and_the_new_one_is_never_the_answer():
    net, _ = make()
    x = events(300)
    with torch.no_grad():
        before = net(x)
    assert len(before.argmax(1).unique()) > 1
    assert net.add_class() == CLASSES
    with torch.no_grad():
        after = net(x)
    torch.testing.assert_close(after[:, :CLASSES], before)
    torch.testing.assert_close(after[:, CLASSES], before.mean(1), atol=1e-5, rtol=1e-5)
    assert torch.equal(after.argmax(1), before.argmax(1))
    again = build(net.spec)  # what a checkpoint is read into
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(again(x), after)


@pytest.mark.parametrize("train_label", [False, True])
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_the_new_word_is_learned_one_utterance_at_a_time(train_label, engine):
    net, rule = make(train_label)
    rule.engine = engine
    old = rule.label.weight.detach().clone()
    x = events(1)
    rule.sequence(x, torch.tensor([0]))  # so that what the engine remembers is of the old label
    net.zero_grad()
    rule.zero_grad()
    net.add_class()
    rule.add_class(generator=generator(0, "new"))
    assert torch.equal(rule.label.weight[:, :CLASSES], old)
    column = rule.label.weight[:, CLASSES].detach()
    assert 0 < column.abs().max() <= old.abs().max() * 1.2
    assert isinstance(rule.label.weight, torch.nn.Parameter) == train_label
    assert "label.weight" in rule.state_dict()
    assert torch.equal(column, again(train_label))
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=1e-2)
    assert int(net.predict(x)) != CLASSES
    for _ in range(20):
        rule.sequence(x, torch.tensor([CLASSES]), optimizer=optimizer)
    assert int(net.predict(x)) == CLASSES
    assert rule.rates[0] > 0.01


def again(train_label):
    net, rule = make(train_label)
    net.add_class()
    rule.add_class(generator=generator(0, "new"))
    return rule.label.weight[:, CLASSES].detach()


def test_gradients_are_those_of_a_network_that_always_had_it():
    net, rule = make()
    net.add_class()
    rule.add_class(generator=generator(0, "new"))
    other = build(net.spec)
    other.load_state_dict(net.state_dict())
    built = rules.build(other, **rule.spec)
    built.load_state_dict(rule.state_dict())
    labels = torch.tensor([0, 1, 2, 3, 3, 0])
    for each in (rule, built):
        each.sequence(events(), labels)
    for one, two in zip(net.parameters(), other.parameters(), strict=True):
        assert one.grad.abs().max() > 0
        torch.testing.assert_close(one.grad, two.grad)


def test_bptt_needs_nothing_and_rules_with_matrices_of_their_own_refuse():
    net, _ = make()
    bptt, decolle = rules.build(net, "bptt"), rules.build(net, "decolle", generator=generator(0))
    net.add_class()
    bptt.add_class()
    bptt.sequence(events(), torch.tensor([3] * BATCH))
    assert net.readout.weight.grad.abs().max() > 0
    with pytest.raises(UserError, match="decolle can't take on another class"):
        decolle.add_class()


def test_what_can_not_be_is_refused():
    net, rule = make()
    with pytest.raises(UserError, match=r"the network has 3 classes, the rule 3; call net\.add"):
        rule.add_class()
    net.add_class()
    rule.start(torch.tensor([0]))
    with pytest.raises(RuntimeError, match="amid a sequence"):
        rule.add_class()


def test_in_a_convolutional_network():
    draws = generator(0, "weights")
    net = st.conv([(4, ("max", 2)), (6, ("none", 1))], in_shape=(2, 6, 6), classes=CLASSES,
                  neuron=st.LIF(0.3), standardise=True, generator=draws)  # fmt: skip
    rule = rules.build(net, contrast="class", generator=draws)
    net.add_class()
    rule.add_class(generator=draws)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    x = torch.rand(STEPS, 2, 2, 6, 6, generator=draws)
    for _ in range(20):
        rule.sequence(x, torch.tensor([CLASSES, 0]), optimizer=optimizer)
    assert net.predict(x).tolist() == [CLASSES, 0]
