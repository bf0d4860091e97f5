"""Audits and gates over a real history: what is told, what is denied, and that a page carries its evidence."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import celpy
import pytest
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from provenance import verify_inputs
from provenance.errors import PolicyError, SignerError
from provenance.ledger import Ledger
from provenance.ledger.access import AccessLog
from provenance.log import Cosigner, encode_vkey
from provenance.policy import encode_trust
from provenance.policy.policy import FORMAT, Policy, parse_policy
from provenance.statement.finding import Finding, FindingState, Severity
from provenance.statement.quality import Quality, QualityResult
from provenance.statement.review import Decision, Review
from provenance.statement.revocation import Revocation, RevocationReason
from provenance.statement.standards import Basis, Standards
from provenance.statement.usage import Usage
from provenance.statement.verdict import Verdict, VerdictResult
from provenance.verify import verify_bundle
from provenance.verify.ai_act import NOTHING, Line, evidence_pack
from provenance.verify.audit_page import audit_page
from provenance.verify.gate import audit_facts, decide, junit, sarif


def _policy(**fields: Any) -> Policy:
    return parse_policy(json.dumps({"format": FORMAT, "name": "p", **fields}).encode())


@pytest.fixture
def opened(copy: Path) -> Ledger:
    return Ledger.open(copy)


def test_a_policy_trusts_whom_it_names_and_nobody_else(opened: Ledger) -> None:
    with opened as ledger:
        roots = json.loads(encode_trust(ledger.trust_roots()))
        del roots["format"]
        names = [source["name"] for source in roots["sources"]]
        assert ledger.gate("h/clean", _policy(trust=roots)).allowed
        assert ledger.gate("h/clean", _policy(trust={**roots, "logs": []})).allowed is False
        museum = [roots["sources"][names.index("museum")]]
        assert ledger.gate("h/clean", _policy(trust={**roots, "sources": museum})).allowed
        decision = ledger.gate("h/model", _policy(trust={**roots, "sources": museum}))
        assert decision.denials[0].reason == "trust: signed but not trusted"
        assert decision.level == "D1"
        # Witnesses that nobody asked yet: none has cosigned.
        witness = encode_vkey(Cosigner("witness.example/w1", bytes(32)).verifier)
        asked = _policy(trust={**roots, "witnesses": {"keys": [witness], "quorum": 1}})
        assert "log.witnesses: too few witnesses cosigned the checkpoint" in [
            one.reason for one in ledger.gate("h/clean", asked).denials
        ]
        # What the policy does not list is not trusted for being revoked here from some time on.
        ledger.keyring.revoke("lab", "2099-01-01T00:00:00Z")
        assert not ledger.gate("h/model", _policy(trust={**roots, "sources": museum})).allowed
        # What is revoked here is revoked, whatever the policy says.
        ledger.keyring.revoke("museum")
        assert ledger.gate("h/clean", _policy(trust=roots)).denials[0].reason == "trust: signed by a revoked key"


def test_an_audit_tells_all_that_went_in(opened: Ledger) -> None:
    with opened as ledger:
        ledger.state("h/clean", Quality(QualityResult.PASSED, passed=("x",)), key="museum")
        ledger.state("h/raw", Finding("f", Severity.LOW, "odd"), key="lab")
        ledger.state("h/raw", Finding("g", Severity.LOW, "even"), key="lab")
        ledger.state("h/raw", Finding("g", Severity.LOW, "even", FindingState.DISMISSED), key="lab")
        use = ledger.state("h/model", Usage("training"), key="lab").entry_index
        audit, bundle = ledger.audit("h/model")
        assert [item.name for item in audit.items] == ["h/model@1", "h/clean@1", "h/raw@1"]
        assert [item.name for item in audit.origins] == ["h/raw@1"]
        assert audit.licences() == {"MIT": ["h/model@1"]}
        assert [one.body.id for _, one in audit.open_findings() if isinstance(one.body, Finding)] == ["f"]
        assert audit.uses == (use,)
        gaps = dict(audit.gaps())
        assert "h/raw@1" in gaps and ("h/clean@1", "nobody says how it was made") in audit.gaps()
        assert verify_bundle(bundle, ledger.trust_roots(with_blocks=True)).sound
        json.dumps(audit.to_json())


def test_every_line_of_the_pack_cites_entries_that_exist_or_says_that_there_is_nothing(opened: Ledger) -> None:
    with opened as ledger:
        lines = evidence_pack(ledger.audit("h/model")[0])
        assert {line.article for line in lines} >= {
            "10(2)(b)",
            "10(3)",
            "11, Annex IV 2(d)",
            "12(1), (2)",
            "19(1)",
            "53(1)(d)",
        }
        for line in lines:
            assert (line.found == NOTHING) == (not line.entries)
            assert all(0 <= index < ledger.log.size() for index in line.entries)
        ledger.state("h/model", Quality(QualityResult.PASSED, passed=("x",)), key="lab")
        found = {line.asks: line for line in evidence_pack(ledger.audit("h/model")[0])}
        assert found["validation and testing procedures and their data"].entries == (ledger.log.size() - 1,)


def _pack(ledger: Ledger, name: str = "h/model") -> dict[str, Line]:
    return {line.article: line for line in evidence_pack(ledger.audit(name)[0])}


def test_the_logs_that_the_act_asks_for_are_those_about_the_model(opened: Ledger) -> None:
    with opened as ledger:
        for article in ("12(1), (2)", "19(1)"):
            assert _pack(ledger)[article].found == NOTHING
        with ledger.decisions("h/model", key="lab") as decisions:
            for number in range(3):
                decisions.record(b"%d" % number, b"yes")
        batch = ledger.log.size() - 1
        log = AccessLog(ledger, "lab", batch_seconds=3_600)
        log.note("10.0.0.1", "GET /v1/lineage/{ref}", 200, "h/model@1")
        log.note("10.0.0.1", "GET /v1/lineage/{ref}", 404, "h/model@1")
        log.note("10.0.0.1", "GET /v1/lineage/{ref}", 200, "h/clean@1")
        log.flush()
        access = ledger.log.size() - 1
        log.note("10.0.0.1", "GET /v1/lineage/{ref}", 200, "h/raw@1")
        log.close()
        use = ledger.state("h/model", Usage("evaluation"), key="lab").entry_index
        pack = _pack(ledger)
        assert pack["19(1)"].entries == (batch, access)
        assert pack["12(1), (2)"].entries == (batch, access, use)
        words = "1 batch with 3 decisions about it, 1 batch with 1 request about it"
        assert pack["12(1), (2)"].found == f"{words}; 1 logged use"
        assert _pack(ledger, "h/clean")["19(1)"].entries == (access,)
        # What a key signed that is not trusted any more counts for nothing.
        ledger.keyring.revoke("lab")
        assert [_pack(ledger)[article].found for article in ("12(1), (2)", "19(1)")] == [NOTHING, NOTHING]


def test_an_examination_for_biases_says_so_itself(opened: Ledger) -> None:
    article = "10(2)(f), (g)"
    with opened as ledger:
        ledger.state("h/clean", Review(Decision.APPROVED, ("labels",)), key="lab")
        ledger.state("h/clean", Quality(QualityResult.PASSED, passed=("no nulls", "unbiased coin")), key="museum")
        assert _pack(ledger)[article].found == NOTHING
        review = ledger.state("h/clean", Review(Decision.APPROVED, ("gender-bias",)), key="lab").entry_index
        for name in ("group_fairness", "bias@0.05"):
            body = Quality(QualityResult.PASSED, passed=(name,))
            test = ledger.state("h/clean", body, key="museum").entry_index
        assert _pack(ledger)[article].entries == (review, test - 1, test)


def test_what_the_act_asks_of_data_cites_nothing_about_a_model(opened: Ledger) -> None:
    with opened as ledger:
        ledger.state("h/model", Quality(QualityResult.PASSED, passed=("accuracy",)), key="museum")
        ledger.state("h/model", Finding("f", Severity.LOW, "weak"), key="lab")
        pack = _pack(ledger)
        assert [pack[article].found for article in ("10(2)(h)", "10(3)")] == [NOTHING, NOTHING]
        model = ledger.audit("h/model")[0].items[0].artefact.index
        about_data = [line for line in evidence_pack(ledger.audit("h/model")[0]) if line.article.startswith("10")]
        assert all(model not in line.entries for line in about_data)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.depth: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        values = dict(attributes)
        assert not any(name.startswith("on") for name in values)
        self.outside += [v for n, v in values.items() if n in ("src", "href") and v and not v.startswith("data:")]
        self.links += [v for n, v in values.items() if n == "href" and v and v.startswith("data:")]


def test_the_page_needs_nothing_and_carries_its_evidence(opened: Ledger, copy: Path) -> None:
    with opened as ledger:
        odd = '<script>alert(1)</script>"&'
        (copy / "odd").write_text("odd")
        ledger.register(
            copy / "odd", "h/odd", "1", key="lab", parents=["h/model"], anchor=False,
            standards=Standards(issuer=odd, personal_data=True, basis=Basis.CONSENT, privacy_technologies=(odd,)),
        )  # fmt: skip
        ledger.state("h/odd", Finding("x", Severity.HIGH, odd), key="lab")
        audit, bundle = ledger.audit("h/odd")
        page = audit_page(audit, bundle)
        parsed = _Page()
        parsed.feed(page.decode())
        assert parsed.outside == []
        (link,) = parsed.links
        assert base64.b64decode(link.partition("base64,")[2]) == bundle
        text = page.decode()
        assert "&lt;script&gt;" in text and all(name in text for name in ("h/odd@1", "h/raw@1", "CC", "10(2)(b)")[:2])
        assert re.search(r"h/odd@1</td><td>internal</td><td>yes</td><td>consent</td>", text)
        assert audit_page(audit, bundle) == page


def test_a_policy_decides(opened: Ledger) -> None:
    with opened as ledger:
        assert ledger.gate("h/model", _policy()).allowed
        cases: list[tuple[dict[str, Any], str, str]] = [
            ({"minimumLevel": "D3"}, "level", "level D2, D3 is needed"),
            ({"allowedLicenses": ["MIT"]}, "license", "no licence is declared"),
            ({"forbiddenAncestors": ["h/raw"]}, "ancestor", "h/raw is forbidden"),
            ({"acceptedChains": [1]}, "chain", "not accepted"),
            ({"rules": [{"id": "r", "expression": "target.reviews > 0", "message": "reviewed"}]}, "r", "reviewed"),
            (
                {"rules": [{"id": "r", "expression": "target.basis == 'consent'", "message": "m"}]},
                "r",
                "cannot be decided",
            ),
            ({"rules": [{"id": "r", "expression": "target.(", "message": "m"}]}, "r", "cannot be decided"),
            ({"rules": [{"id": "r", "expression": "1", "message": "m"}]}, "r", "no yes or no"),
        ]
        for fields, rule, reason in cases:
            denials = ledger.gate("h/model", _policy(**fields)).denials
            assert [(one.rule, reason in one.reason) for one in denials][:1] == [(rule, True)], fields
        chain = ledger.contract()
        assert chain is not None
        assert ledger.gate("h/model", _policy(acceptedChains=[1, chain.chain_id])).allowed
        assert not ledger.gate("h/model", _policy(acceptedChains=[chain.chain_id]), ask_chain=False).allowed
        assert not ledger.gate("h/nothing", _policy()).allowed
        ledger.state("h/raw", Revocation(RevocationReason.UNLAWFUL), key="museum")
        assert ledger.gate("h/model", _policy()).denials[0].about == "h/raw@1"


def test_bytes_are_read_unless_the_record_is_enough(opened: Ledger, copy: Path) -> None:
    with opened as ledger:
        assert ledger.gate(copy / "model", _policy()).allowed
        assert not ledger.gate("h/model", _policy(), read=False).allowed
        assert ledger.gate("h/model", _policy(requiredLevel={"internal": "D0"}), read=False).allowed
        (copy / "model" / "m").write_text("other")
        denied = ledger.gate(copy / "model", _policy())
        assert [one.rule for one in denied.denials] == ["evidence"]  # nobody registered these bytes
        with pytest.raises(PolicyError, match=r"policy p denies .*: evidence of .*: these bytes are not registered"):
            verify_inputs([copy / "raw", copy / "model"], _policy(), ledger=ledger)
        assert len(verify_inputs([copy / "raw"], _policy(), ledger=ledger)) == 1


def test_age_is_counted_from_what_its_signer_says(opened: Ledger) -> None:
    with opened as ledger:
        audit, _ = ledger.audit("h/model")
        policy, now = _policy(maxAgeDays=10), datetime.now(UTC)
        assert decide(policy, audit, now).allowed
        assert {one.rule for one in decide(policy, audit, now + timedelta(days=11)).denials} == {"age"}


EXPRESSIONS = [
    "target.level >= 2",
    "ancestors.all(a, a.status == 'passed')",
    "ancestors.exists(a, has(a.origin) && a.origin.startsWith('https://'))",
    "size(ancestors) == 2 && target.kind == 'model'",
    "checks['signature'] == 'passed'",
    "checks['nothing'] == 'passed'",
    "target.nothing == 1",
    "target.reviews > 0 || openFindings == 0",
    "timestamp(target.created) <= timestamp(now)",
    "'GB' in target.geography",
    "target.name.matches('^h/')",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_mean_what_another_implementation_says(opened: Ledger, expression: str) -> None:
    with opened as ledger:
        audit, _ = ledger.audit("h/model")
        now = datetime.now(UTC)
        decision = decide(_policy(rules=[{"id": "r", "expression": expression, "message": "m"}]), audit, now)
        environment = celpy.Environment()
        program = environment.program(environment.compile(expression))
        facts: dict[str, Any] = {name: json_to_cel(value) for name, value in audit_facts(audit, now).items()}
        try:
            expected = bool(program.evaluate(facts))
        except CELEvalError:
            expected = False
        assert decision.rulings[-1].allowed == expected


def test_a_policy_names_the_detectors_that_must_have_looked(opened: Ledger) -> None:
    with opened as ledger:
        policy = _policy(requiredDetectors=["duplicates", "images"])
        rule = {"id": "looked", "expression": "'images' in target.detectors", "message": "m"}

        def denied(**fields: Any) -> list[tuple[str, str]]:
            decision = ledger.gate("h/model", _policy(**fields) if fields else policy)
            return [(one.rule, one.reason) for one in decision.denials]

        def look(detector: str, key: str) -> None:
            found = Finding(detector, Severity.INFO, "nothing", FindingState.RESOLVED, detector=detector)
            ledger.state("h/model", found, key=key)

        look("duplicates", "museum")
        look("images", "lab")  # who registered it
        assert denied() == [("detector", "nobody but its registrant says that images ran")]
        assert [name for name, _ in denied(rules=[rule])] == ["looked"]
        look("images", "museum")
        assert not denied()
        assert not denied(rules=[rule])


def test_pipelines_can_read_it(opened: Ledger) -> None:
    with opened as ledger:
        good, bad = ledger.gate("h/model", _policy()), ledger.gate("h/model", _policy(forbiddenAncestors=["h/*"]))
        root = ElementTree.fromstring(junit([good, bad]))
        assert [(suite.attrib["tests"], suite.attrib["failures"]) for suite in root] == [("2", "0"), ("5", "3")]
        assert len(list(root.iter("failure"))) == 3
        odd = ledger.gate("h/model", _policy(name='a\x01b\x1b[31m \ufffe<&"', forbiddenAncestors=["h/*"]))
        names = [case.attrib["name"] for case in ElementTree.fromstring(junit([odd])).iter("testcase")]
        assert names[0].startswith('a\\x01b\\x1b[31m \\ufffe<&": ')
        report = json.loads(sarif([good, bad], "1"))
        assert (report["version"], len(report["runs"][0]["results"])) == ("2.1.0", 3)
        named = {rule["id"] for rule in report["runs"][0]["tool"]["driver"]["rules"]}
        assert {result["ruleId"] for result in report["runs"][0]["results"]} <= named


def test_a_verdict_can_be_logged_and_says_what_it_is_of(opened: Ledger) -> None:
    with opened as ledger:
        policy = _policy(minimumLevel="D2")
        decision = ledger.gate("h/model", policy, log=True, key="lab")
        assert decision.allowed
        said = ledger.said_about("h/model")[-1]
        assert said.index == decision.entry == ledger.log.size() - 1
        body = said.event.body
        assert isinstance(body, Verdict)
        assert (body.result, body.policy, body.artefact) == (
            VerdictResult.PASSED,
            policy.digest,
            said.event.about.digest,
        )
        assert body.levels == (f"PROVENANCE_{decision.level}",)
        assert body.attestations == tuple(ledger.pin(name).envelope for name in ("h/model", "h/clean", "h/raw"))

        denied = ledger.gate("h/model", _policy(minimumLevel="D4"), log=True, key="lab")
        assert not denied.allowed
        body = ledger.said_about("h/model")[-1].event.body
        assert isinstance(body, Verdict)
        assert body.result is VerdictResult.FAILED
        # What was decided once decides nothing: the same again, and neither more nor less sound for it.
        assert ledger.verify("h/model").sound
        assert ledger.fsck().clean
        size = ledger.log.size()
        assert not ledger.gate("h/unknown", policy, log=True, key="lab").allowed
        with pytest.raises(SignerError):
            ledger.gate("h/model", policy, log=True, key="nobody")
        assert ledger.log.size() == size


def test_a_decoy_in_a_bundle_is_not_audited(opened: Ledger) -> None:
    """A statement of an ancestor's name that nobody pins, by a stranger, put first."""
    from provenance.signature import encode_envelope, parse_envelope, sign_envelope
    from provenance.signature.keys import derive_private_key
    from provenance.statement import PAYLOAD_TYPE, encode_statement, parse_statement
    from provenance.verify import parse_bundle, verify_evidence
    from provenance.verify.audit import audit_evidence
    from provenance.verify.evidence import EvidenceEntry

    with opened as ledger:
        evidence, trust = parse_bundle(ledger.bundle("h/model")), ledger.trust_roots(with_blocks=True)
    stated = {str(parse_statement(parse_envelope(e.envelope).payload).name): e for e in evidence.entries}
    raw = stated["h/raw@1"]
    statement = parse_statement(parse_envelope(raw.envelope).payload)
    forged = sign_envelope(
        encode_statement(replace(statement, license="MIT")), PAYLOAD_TYPE, derive_private_key("ed25519", bytes(32))
    )
    decoy = EvidenceEntry(encode_envelope(forged), raw.proof)
    with_decoy = replace(evidence, entries=(decoy, *evidence.entries))
    audit = audit_evidence(with_decoy, verify_evidence(with_decoy, trust), trust)
    assert [item.statement.license for item in audit.items if item.name == "h/raw@1"] == [statement.license]
    assert statement.license != "MIT"


def test_a_list_of_inputs_that_is_lost_is_no_way_around_a_policy(opened: Ledger, tmp_path: Path) -> None:
    with opened as ledger:
        names = []
        for number in range(257):
            (tmp_path / f"s{number}").write_text(str(number))
            ledger.register(tmp_path / f"s{number}", f"ok/s{number}", "1", key="lab", anchor=False)
            names.append(f"ok/s{number}")
        (tmp_path / "m").write_text("m")
        ledger.register(tmp_path / "m", "ok/m", "1", key="lab", parents=names, anchor=False)
        forbids = _policy(forbiddenAncestors=["ok/s7"])
        assert not ledger.gate("ok/m", forbids).allowed
        listed = ledger.proofs("ok/m").statement.materials
        assert listed is not None
        ledger.blobs.remove(listed.digest)
        assert not ledger.gate("ok/m", forbids).allowed
