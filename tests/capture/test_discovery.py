"""Who answers WS-Discovery on loopback's multicast, and what strangers may send."""

from __future__ import annotations

import pytest
from onvif_standin.responder import Responder

from monitor.capture.discovery import discover
from monitor.errors import UsageError

NOISE = (
    b"",
    b"\xff\x00",
    b"<a>",
    b'<!DOCTYPE x [<!ENTITY e "e">]><x>&e;</x>',
    b"<x xmlns='urn:x'><RelatesTo/></x>",
)


def test_devices_answer_once_each_with_name_hardware_and_address() -> None:
    here = "http://10.255.0.1/onvif/device_service http://{me}:8000/onvif/device_service"
    responder = Responder(
        {
            "urn:uuid:1": ("Dock%203%1b%5b31m", here),
            "urn:uuid:2": ("", "http://[bad/ ftp://127.0.0.1/x http://10.9.9.9/onvif"),
        },
        NOISE,
    )
    try:
        second, first = discover(1.0, interfaces=["lo"], port=responder.port)
    finally:
        responder.close()
    assert (first.name, first.hardware, first.location) == ("Dock 3 [31m", "DS-2CD", "yard")
    assert first.xaddrs == tuple(here.format(me=first.address).split())
    assert first.onvif == f"http://{first.address}:8000/onvif/device_service"
    assert (second.name, second.xaddrs) == ("", ("http://10.9.9.9/onvif",))
    assert second.onvif is None  # it names somebody else's address: no login goes there
    asked = "".join(responder.questions)
    assert "dp0:NetworkVideoTransmitter" in asked
    assert "dp0:Device" in asked
    assert len(responder.questions) == 4  # both kinds, twice


def test_nobody_answers() -> None:
    responder = Responder({})
    try:
        assert discover(0.3, interfaces=["lo"], port=responder.port) == []
    finally:
        responder.close()


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no interface 'nowhere0'") as caught:
        discover(0.1, interfaces=["nowhere0"])
    assert "lo" in caught.value.remedy
