import socket

import pytest

from savs.foundation.network import hub_problem, is_public

PUBLIC = "93.184.216.34 2606:2800:220:1::1 64:ff9b::93.184.216.34"
PRIVATE = (
    "10.0.0.1 172.16.0.1 192.168.1.1 127.0.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 "
    "255.255.255.255 ::1 fe80::1%eth0 fd00::1 ::ffff:10.0.0.1 2002:0a00:0001::1 "
    "64:ff9b::10.0.0.1 64:ff9b:1::1 ::127.0.0.1 ::169.254.169.254 :: ff02::1"
)


@pytest.mark.parametrize("address", [*PUBLIC.split(), *PRIVATE.split()])
def test_public_addresses_are_those_of_the_internet(address: str) -> None:
    assert is_public(address) is (address in PUBLIC.split())


@pytest.mark.parametrize("name", ["https_proxy", "all_proxy", "ftp_proxy"])
def test_the_hub_is_not_tried_past_a_proxy(monkeypatch, name) -> None:
    def refuse(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.example")
    monkeypatch.setattr(socket, "create_connection", refuse)
    for other in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert (hub_problem() is None) is (name != "ftp_proxy")
