"""What OpenSSH writes, word for word, and the error that it means."""

from __future__ import annotations

import pytest

from core.errors import HostKeyChanged, HostKeyUnknown, HostSilent, HostUnreachable, LoginRefused
from core.hosts.ssh_config import SshTarget
from core.hosts.ssh_errors import cause_of, explain, is_unknown_key

TARGET = SshTarget(name="gpu1", target="op@gpu1.example")

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:kJ2m3v0000000000000000000000000000000000000.
Please contact your system administrator.
Add correct host key in /home/op/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/op/.ssh/known_hosts:3
Host key for gpu1.example has changed and you have requested strict checking.
Host key verification failed.
"""
UNKNOWN = """\
No ED25519 host key is known for gpu1.example and you have requested strict checking.
Host key verification failed.
"""
JUMP_UNKNOWN = """\
No ED25519 host key is known for bastion and you have requested strict checking.
Host key verification failed.
kex_exchange_identification: Connection closed by remote host
Connection closed by UNKNOWN port 65535
"""
JUMP_REFUSED = """\
op@bastion: Permission denied (publickey,password).
kex_exchange_identification: Connection closed by remote host
Connection closed by UNKNOWN port 65535
"""
BEHIND_JUMP = """\
channel 0: open failed: connect failed: Connection refused
stdio forwarding failed
kex_exchange_identification: Connection closed by remote host
Connection closed by UNKNOWN port 65535
"""
OPEN_KEY = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Permissions 0644 for '/home/op/.ssh/id_ed25519' are too open.
It is required that your private key files are NOT accessible by others.
This private key will be ignored.
Load key "/home/op/.ssh/id_ed25519": bad permissions
op@gpu1.example: Permission denied (publickey).
"""
REVOKED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@       WARNING: REVOKED HOST KEY DETECTED!               @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
The ED25519 host key for gpu1.example is marked as revoked.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        (CHANGED, HostKeyChanged),
        (REVOKED, HostKeyChanged),
        (UNKNOWN, HostKeyUnknown),
        (JUMP_UNKNOWN, HostKeyUnknown),
        ("Host key verification failed.\n", HostKeyUnknown),
        ("op@gpu1.example: Permission denied (publickey,password).\n", LoginRefused),
        (OPEN_KEY, LoginRefused),
        (JUMP_REFUSED, LoginRefused),
        ("Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\n", LoginRefused),
        ("sign_and_send_pubkey: signing failed for ED25519-SK: device not found\n", LoginRefused),
        ("ssh: Could not resolve hostname gpu1.example: Name or service not known\n", HostSilent),
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out\n", HostSilent),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host\n", HostSilent),
        ("ssh: connect to host 10.0.0.1 port 22: Network is unreachable\n", HostSilent),
        ("ssh: connect to host 10.0.0.1 port 2222: Connection refused\n", HostSilent),
        ("Connection timed out during banner exchange\n", HostSilent),
        ("Timeout, server 10.0.0.1 not responding.\n", HostSilent),
        ("kex_exchange_identification: read: Connection reset by peer\n", HostSilent),
        ("Connection closed by 10.0.0.1 port 22\n", HostSilent),
        (BEHIND_JUMP, HostSilent),
        ("Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-rsa", None),
        ("/home/op/.ssh/config: line 3: Bad configuration option: hostnam\n", None),
        ("Bad owner or permissions on /home/op/.ssh/config\n", None),
        ("something nobody has seen yet\n", HostSilent),
        ("", HostSilent),
    ],
)
def test_each_message_is_one_error(stderr: str, kind: type[HostUnreachable] | None) -> None:
    error = explain(stderr, TARGET)
    assert type(error) is (kind or HostUnreachable)
    assert "gpu1" in error.message
    assert error.cause
    assert error.remedy
    assert "{" not in error.message + error.remedy


@pytest.mark.parametrize("stderr", [JUMP_UNKNOWN, JUMP_REFUSED, BEHIND_JUMP])
def test_a_jump_host_is_named_as_such(stderr: str) -> None:
    error = explain(stderr, TARGET)
    assert "jump host" in error.message
    assert "UNKNOWN" not in error.cause


def test_an_unknown_key_can_be_accepted_but_not_a_changed_one() -> None:
    assert is_unknown_key(UNKNOWN)
    assert is_unknown_key(JUMP_UNKNOWN)
    assert not is_unknown_key(CHANGED)


def test_the_cause_is_one_harmless_line() -> None:
    cause = cause_of(CHANGED + "evil \x1b]0;title\x07 words\x1b[2J\r\n" + "x" * 1000)
    assert cause.isprintable()
    assert "@@" not in cause
    assert "title" not in cause
    assert len(cause) <= 402


def test_the_remedy_names_the_command_to_try() -> None:
    target = SshTarget(name="gpu1", target="op@gpu1", config="/tmp/config")
    assert "ssh -F /tmp/config op@gpu1" in explain("Permission denied (publickey).", target).remedy
