from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from cutaway.errors import ConflictError
from cutaway.network.pool import Pool, candidate_subnets, free_subnet, mac_of
from cutaway.store.database import Database

SUBNET = IPv4Network("172.17.0.0/16")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "engine.db")


def test_addresses_begin_behind_the_gateway(database: Database) -> None:
    pool = Pool("bridge", SUBNET, database)
    assert pool.gateway == "172.17.0.1"
    assert [pool.take(name) for name in "abc"] == ["172.17.0.2", "172.17.0.3", "172.17.0.4"]


def test_the_lowest_address_that_was_given_back_is_next(database: Database) -> None:
    pool = Pool("bridge", SUBNET, database)
    for name in "abc":
        pool.take(name)
    pool.release("b")
    pool.release("a")
    assert pool.take("d") == "172.17.0.2"


def test_a_container_keeps_its_address(database: Database) -> None:
    pool = Pool("bridge", SUBNET, database)
    assert pool.take("a") == pool.take("a") == "172.17.0.2"


def test_leases_outlive_the_pool(database: Database) -> None:
    Pool("bridge", SUBNET, database).take("a")
    again = Pool("bridge", SUBNET, database)
    assert again.taken == {"172.17.0.2": "a"}
    assert again.take("b") == "172.17.0.3"


def test_an_exhausted_pool_says_so(database: Database) -> None:
    pool = Pool("bridge", IPv4Network("10.0.0.0/30"), database)
    assert pool.take("a") == "10.0.0.2"
    with pytest.raises(
        ConflictError, match="no available IPv4 addresses on this network's address pool: bridge"
    ):
        pool.take("b")


def test_releasing_what_is_not_held_is_no_error(database: Database) -> None:
    Pool("bridge", SUBNET, database).release("nobody")


def test_the_first_subnet_is_dockers() -> None:
    assert free_subnet([]) == SUBNET


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (["172.17.0.0/16"], "172.18.0.0/16"),
        (["172.17.9.0/24", "172.18.0.5/32"], "172.19.0.0/16"),
        (["172.16.0.0/12"], "192.168.0.0/20"),
        (["0.0.0.0/0"], "172.17.0.0/16"),
    ],
)
def test_subnets_that_routes_lead_into_are_left_alone(routes: list[str], expected: str) -> None:
    assert free_subnet(map(IPv4Network, routes)) == IPv4Network(expected)


def test_without_a_free_subnet_dockers_words_are_used() -> None:
    with pytest.raises(ConflictError, match="could not find an available, non-overlapping IPv4 address pool"):
        free_subnet(candidate_subnets())


def test_the_mac_is_made_of_the_address() -> None:
    assert mac_of("172.17.0.2") == "02:42:ac:11:00:02"
