"""Federated ComBat: hospitals that send sums harmonise as if their cases lay in one table."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from federation import overheard
from made_tables import made

from vesalius.errors import ConfigError, IntensityError, NetworkError, RegionError
from vesalius.predict import Table
from vesalius.predict.federate import Client, channel_to, combat_over, with_batches
from vesalius.predict.harmonise import Combat

SETTINGS = [
    {},
    {"reference": "north"},
    {"empirical_bayes": False},
    {"mean_only": True},
    {"parametric": False},
]


def sites(table, target, column="site"):
    """Give the places of the cases of each site, and a client for each."""
    names = sorted(set(table.columns[column]))
    at = {name: np.flatnonzero(table.columns[column] == name) for name in names}
    return at, [Client(name, table.rows(k), target.rows(k)) for name, k in at.items()]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_equals_combat_of_the_pooled_cases(settings, secure):
    table, target = made(90, 10)
    at, clients = sites(table, target)
    step = Combat(batch="site", keep=("age", "sex"), **settings)
    pooled = step.fit(table).transform(table).values
    shared = combat_over(channel_to(clients), step, secure=secure)
    for name, places in at.items():
        own = with_batches(shared, table.rows(places), name).transform(table.rows(places))
        np.testing.assert_allclose(own.values, pooled[places], rtol=0, atol=1e-12)


def test_equals_pooled_combat_on_the_two_hospitals(data_dir):
    from hosny import hospital

    a, b = hospital(data_dir, "A"), hospital(data_dir, "B")
    features = a[0].features[:200]
    tables = [one.select(features) for one, _ in (a, b)]
    joint = np.concatenate([one.values for one in tables])
    varies = np.array([bool(np.ptp(one.values, axis=0).all()) for one in tables]).all()
    assert varies
    step = Combat(batch="site")
    both = joined(tables[0], tables[1])
    pooled = step.fit(both).transform(both).values
    clients = [Client("A", tables[0], a[1]), Client("B", tables[1], b[1])]
    shared = combat_over(channel_to(clients), step, secure=True)
    found = [
        with_batches(shared, t, n).transform(t_with_site(t, n)).values
        for t, n in zip(tables, "AB", strict=True)
    ]
    assert np.abs(np.concatenate(found) - pooled).max() < 1e-9
    assert joint.shape == pooled.shape


def t_with_site(table, name):
    """Give the table a column that names its hospital."""
    return replace(table, columns=table.columns.assign(site=name))


def joined(first, second):
    """Put the cases of two hospitals into one table."""
    columns = pd.concat(
        [t_with_site(first, "A").columns, t_with_site(second, "B").columns], ignore_index=True
    )
    values = np.concatenate([first.values, second.values])
    return Table((*first.cases, *second.cases), first.features, values, columns)


def test_a_client_with_two_scanners_has_two_batches():
    table, target = made(120, 6)
    step = Combat(batch="batch", keep=("age",))
    # the same scanner names in two hospitals are different batches only if they differ
    named = table.columns.assign(batch=table.columns["site"] + table.columns["batch"])
    table = replace(table, columns=named)
    at, clients = sites(table, target)
    pooled = step.fit(table).transform(table).values
    shared = combat_over(channel_to(clients), step)
    for name, places in at.items():
        frozen = with_batches(shared, table.rows(places), name)
        assert len(frozen.batches_) == 3
        own = frozen.transform(table.rows(places)).values
        np.testing.assert_allclose(own, pooled[places], atol=1e-12)


def test_what_is_frozen_treats_a_single_new_case_alike():
    table, target = made(90, 8)
    at, clients = sites(table, target)
    shared = combat_over(channel_to(clients), Combat(batch="site"))
    own = table.rows(at["north"])
    frozen = with_batches(shared, own, "north")
    np.testing.assert_array_equal(
        frozen.transform(own.rows([4])).values, frozen.transform(own).values[4:5]
    )


def test_the_client_goes_on_with_harmonised_features_and_its_old_account():
    table, target = made(90, 5)
    _, clients = sites(table, target)
    # without shrinkage means become equal exactly, so that once more changes nothing
    step = Combat(batch="site", empirical_bayes=False)
    shared = combat_over(channel_to(clients), step)
    after = [one.harmonised(shared) for one in clients]
    again = combat_over(channel_to(after), step)
    np.testing.assert_allclose(again.mean_, shared.mean_, rtol=1e-9)
    assert [one.epsilon for one in after] == [one.epsilon for one in clients]


def test_nothing_of_a_batch_and_nothing_of_a_case_is_sent():
    """Sums over the batches of a client leave it; the estimate of a batch does not."""
    table, target = made(90, 8)
    _, clients = sites(table, target)
    ask, heard = overheard(clients)
    combat_over(ask, Combat(batch="site", keep=("age", "sex")))
    sizes = {clients[0].name: 45, clients[1].name: 45}
    shapes = set()
    for name, message in heard:
        for array in message.arrays.values():
            assert sizes[name] not in array.shape
            shapes.add(array.shape)
    assert shapes == {(), (2,), (8,), (2, 2), (2, 8)}


def test_a_hospital_without_the_column_is_one_batch():
    table, target = made(60, 4)
    clients = [
        Client(n, table.rows(range(k, 60, 2)), target.rows(np.arange(k, 60, 2)))
        for k, n in enumerate(("north", "south"))
    ]
    bare = combat_over(channel_to(clients), Combat(batch="hospital"))
    named = combat_over(channel_to(clients), Combat(batch="site"))
    np.testing.assert_array_equal(bare.mean_, named.mean_)


def test_refuses_a_batch_or_a_level_of_few():
    table, target = made(60, 4)
    few = table.columns.assign(site=["tiny"] * 3 + ["north"] * 57)
    clients = [
        Client("a", replace(table, columns=few), target),
        Client("b", replace(table, columns=few.assign(site="south")), target),
    ]
    with pytest.raises(NetworkError, match="a batch must have 5 cases, one has fewer"):
        combat_over(channel_to(clients), Combat(batch="site"))
    with pytest.raises(NetworkError, match="a level of a covariate must have 5 cases"):
        combat_over(channel_to(clients), Combat(batch="none", keep=("site",)))


def test_refuses_one_batch():
    table, target = made(60, 4)
    with pytest.raises(RegionError, match="ComBat must have at least 2 batches, got 1"):
        combat_over(channel_to([Client("a", table, target)]), Combat(batch="hospital"))


def test_refuses_a_reference_that_nobody_has():
    table, target = made(60, 4)
    _, clients = sites(table, target)
    with pytest.raises(RegionError, match="the reference must be a batch of a client"):
        combat_over(channel_to(clients), Combat(batch="site", reference="west"))


def test_refuses_a_column_without_name():
    table, target = made(60, 4)
    _, clients = sites(table, target)
    with pytest.raises(ConfigError, match="must have a name for the column of batches"):
        combat_over(channel_to(clients), Combat())


def test_refuses_a_covariate_of_two_kinds():
    table, target = made(60, 4)
    at, _ = sites(table, target)
    texts = replace(table, columns=table.columns.assign(age="old"))
    clients = [Client("a", table, target), Client("b", texts, target)]
    with pytest.raises(ConfigError, match="must be of one kind in all hospitals"):
        combat_over(channel_to(clients), Combat(batch="site2", keep=("age",)))
    assert at


def test_refuses_a_covariate_that_is_the_same_in_each_batch():
    table, target = made(60, 4)
    _, clients = sites(table, target)
    with pytest.raises(ConfigError, match="the same for all cases of each batch"):
        combat_over(channel_to(clients), Combat(batch="site", keep=("site",)))


def test_refuses_a_feature_without_spread():
    table, target = made(60, 4)
    values = table.values.copy()
    values[:, 2] = 7.0
    _, clients = sites(table.with_values(values), target)
    with pytest.raises(IntensityError, match="a feature must vary within batches"):
        combat_over(channel_to(clients), Combat(batch="site"))
