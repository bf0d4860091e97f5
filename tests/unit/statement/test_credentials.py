"""What looks like a secret and what does not, as tables; and that no text keeps the detector long."""

from __future__ import annotations

import time

import pytest

from provenance.errors import MalformedError
from provenance.statement.credentials import (
    check_no_secret,
    find_secret,
    find_secret_word,
    is_secret_name,
    without_secrets,
)
from provenance.statement.run import check_parameters, check_words

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlLW9mLWl0"

SECRETS: list[list[str]] = [
    ["--hub_token=hf_abcdef"], ["--hub-token", "abcdef"], ["--hubToken=x"], ["--api_key=sk-123"], ["--apiKey", "x"],
    ["--api-key", "hunter2"], ["--secretKey=x"], ["--token", "abc"], ["--TOKEN=abc"], ["--password=x"],
    ["-password", "x"],
    ["--passphrase", "x"], ["--passphrase=x"], ["--db_password_prod=x"], ["--client-secret=x"], ["--secret=x"],
    ["--account-key", "x"], ["--storage.account_key=x"], ["--private-key=0xabc"], ["--jwt=x"], ["--auth=me:pw"],
    ["--aws_secret_access_key", "x"], ["--trainer.hub_token=x"], ["--use_auth_token=abc"], ["--token2=x"], ["--pw=x"],
    ["-e", "GITHUB_TOKEN=abc"], ["--set", "auth.password=x"], ["user=me,password=x"], ["jdbc:sqlserver://h;user=u;pwd=x"],
    ["--conf", "fs.azure.account.key.acct.dfs.core.windows.net=abc"], ["--access_token_secret=x"], ["/p:Password=x"],
    ["PGPASSWORD=pw", "psql"], ["env", "PROVENANCE_PASSPHRASE=x", "true"], ["AWS_SECRET_ACCESS_KEY=x"], ["MYSQL_PWD=x"],
    ["HF_TOKEN=x"], ["TOKEN_GITHUB=x"], ["SSHPASS=x"], ["MY_PASS=foo"], ["sh", "-c", "export API_KEY=x; run"],
    ["https://user:pw@git.example/x"], ["postgresql://u:pw@db/x"], ["https://user:p@ssw0rd@host/x"], ["ssh://u:pw@h/x"],
    ["https://sometoken@git.example/x"], ["git+https://sometoken@git.example/x"], ["redis://:pw@host"],
    ["--url=https://proxy.example/?to=https%3A%2F%2Fu:pw@h"], ["https:\\\\user:pw@host"],
    ["https://h/?clientSecret=x"], ["https://h/?a=1&sessionToken=x"], ["https://h/#refreshToken=x"],
    ["https://h/?jwt=x"],
    ["https://h/?passphrase=x"], ["https://h/?SecretAccessKey=x"], ["AccountName=a;AccountKey=x"], ["https://h/?sig=x"],
    ["https://h/?X-Amz-Signature=x"], ["https://h/?X-Amz-Credential=x"], ["https://h/?pass%77ord=x"],
    ["https://h/?AWSAccessKeyId=x"],
    ["curl", "-H", "Authorization: Bearer abc"], ["curl", "-HAuthorization: Basic eHk6eg=="], ["-H", "X-Api-Key:abc"],
    ["-H", "Authorization:Bearer abc"], ["-H", "X-Auth-Token: abc"], ["-H", "Cookie: a=b"], ["-H", "authorization: x"],
    ["-d", '{"password": "x"}'], ["-d", "{'api_key':'x'}"], ["-d", '{\\"clientSecret\\": \\"x\\"}'],
    ["-d", "password: x"],
    ["python", "-c", "login(token='x')"], ["python", "-c", "api_key = 'x'"], ["x", "bearer abcdef0123"],
    ["mysql", "-pPW", "db"], ["/usr/bin/mysqldump", "-u", "root", "-pPW"], ["sh", "-c", "mysql -pPW db"],
    ["docker", "login", "-p", "pw"], ["docker", "login", "-ppw"], ["sshpass", "-p", "pw", "ssh"],
    ["redis-cli", "-a", "x"],
    ["curl", "-u", "me:pw"], ["curl", "--user", "me:pw"], ["curl", "--user=me:pw"], ["bash", "-c", "curl -u me:pw x"],
    ["unzip", "-P", "x", "y.zip"], ["openssl", "-passin", "pass:hunter2"],
    ["hf_abcdefghijklmnopqrstuvwxyz01234567"], ["AKIAIOSFODNN7EXAMPLE"], ["ghp_" + "a1" * 18], ["x=ghs_" + "a1" * 18],
    ["github_pat_" + "a1" * 20], ["glpat-" + "a1" * 10], ["xoxb-123456789012-abcdef"], ["sk-" + "a1" * 24],
    ["sk-proj-" + "a_" * 12], ["sk-ant-api03-" + "a1" * 12], ["AIza" + "a" * 35], [JWT], ["x", f"a,{JWT}"],
    ["-----BEGIN PRIVATE KEY-----\nMIIE"], ["-----BEGIN OPENSSH PRIVATE KEY-----"], ["pypi-AgE" + "a" * 30],
]  # fmt: skip
WORDS: list[list[str]] = [
    ["--tokenizer=bert"], ["--tokenizer", "bert"], ["--max_tokens=512"], ["--max-new-tokens", "5"], ["--max_token=512"],
    ["--pad_token=<pad>"], ["--eos-token", "</s>"], ["--token_type_ids=x"], ["--token-count", "3"],
    ["--secret-santa=alice"], ["--key-column=id"], ["--key=id"], ["--sort-key", "name"], ["--primary_key=id"],
    ["--password-file=path"], ["--password-file", "path"], ["--token-env=HF"], ["--token_path", "x"], ["PGPASSFILE=/x"],
    ["--author=x"], ["--authority=x"], ["--no-auth"], ["--use_auth_token"], ["--use_auth_token", "train.csv"],
    ["--use-auth-token=True"], ["--token=none"], ["--token"], ["--password"], ["--token=$HF_TOKEN"],
    ["--signature=int"],
    ["--class_token=1"], ["--passengers=3"], ["--secretary=bob"], ["--auth-mode=none"],
    ["--first-pass=2"], ["--two-pass", "x"], ["--pass=3"], ["--bypass=x"], ["--compass=n"], ["PWD=/srv/x"],
    ["--design=1"],
    ["--credentials=creds.json"], ["GOOGLE_APPLICATION_CREDENTIALS=/x/creds.json"], ["--keywords=sig"], ["--monkey=x"],
    ["s3://bucket/key"], ["user@host:path"], ["git@github.com:owner/repo.git"], ["ssh://git@github.com/o/r"],
    ["git+ssh://git@github.com/o/r"], ["https://example.org/a@b"], ["ns/name@1"], ["python:3.11@sha256:abc"],
    ["abfss://container@account.dfs.core.windows.net/x"], ["file:///home/a@b"], ["https://h/?design=1&tokenizer=bert"],
    ["arn:aws:secretsmanager:eu:1:secret:name"], ["mkdir", "-pv", "x"], ["docker", "run", "-p", "80:80", "x"],
    ["docker", "run", "-u", "1000:1000", "x"], ["mysql", "-p", "db"], ["python", "-u", "train.py"], ["-pPW"],
    ["python", "-c", "import pathlib; pathlib.Path('out').write_text('x')"], ["train", "--epochs", "3", "--lr=1e-3"],
    ["python", "-c", "if token == 'x': pass"], ["curl", "-H", "Authorization: Bearer $TOKEN"],
    ["sk-learn-random-forest"],
    ["curl", "-H", "Authorization: Bearer ${TOKEN}"], ["hf_dataset_with_a_rather_long_name"], ["eyJ.x.y"],
    ["a" * 64], ["0123456789abcdef" * 4], ["the bearer of news"], ["--password=", "--epochs", "3"], ["--ssh-key=x.pem"],
    ["-----BEGIN PUBLIC KEY-----"], ["--columns", "id,token,text"], ["SELECT token FROM words WHERE token_id = 3"],
]  # fmt: skip


@pytest.mark.parametrize("words", SECRETS, ids=" ".join)
def test_what_looks_like_a_secret_is_refused_and_not_shown(words: list[str]) -> None:
    with pytest.raises(MalformedError, match="seems to hold a secret") as caught:
        check_words(words)
    said = f"{caught.value!r}{caught.value}{caught.value.got}"
    assert "hunter2" not in said
    assert len(words[-1]) < 6 or words[-1] not in said
    assert find_secret_word([" ".join(words)]) is not None  # as a line of a shell, which DVC has


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_what_does_not_is_let_pass(words: list[str]) -> None:
    check_words(words)
    assert find_secret_word([" ".join(words)]) is None


@pytest.mark.parametrize(
    "parameters",
    [
        {"hub_token": "x"}, {"apiKey": "x"}, {"PGPASSWORD": "x"}, {"password": 1234}, {"url": "https://u:pw@h/"},
        {"header": "Authorization: Bearer abc"}, {"config": '{"password": "x"}'}, {"a": "AKIAIOSFODNN7EXAMPLE"},
        {"clientSecret": "x"}, {"hf_abcdefghijklmnopqrstuvwxyz": 1},
    ],
)  # fmt: skip
def test_parameters_are_looked_at_alike(parameters: dict[str, str | int]) -> None:
    with pytest.raises(MalformedError, match=r"seems to hold a secret|holds a secret"):
        check_parameters(parameters)


def test_parameters_that_hold_none_are_let_pass() -> None:
    check_parameters({"tokenizer": "bert", "max_tokens": 512, "use_auth_token": True, "token": None, "author": "x"})
    check_parameters({"password_file": "x", "pad_token": "<pad>", "key": "id", "sentence": "the token is a word"})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://user:p@ssw0rd@host/x", "https://host/x"),
        ("https://u:p@h/a@b", "https://h/a@b"),
        ("https://h/x?clientSecret=a&b=1", "https://h/x"),
        ("https://h/x?b=1&sessionToken=a", "https://h/x"),
        ("https://h/x?refreshToken=a", "https://h/x"),
        ("https://h/x?passphrase=a", "https://h/x"),
        ("https://h/x?jwt=a", "https://h/x"),
        ("https://h/x#SecretAccessKey=a", "https://h/x"),
        ("https://h/x?pass%77ord=a", "https://h/x"),
        ("AccountName=n;AccountKey=a", "AccountName=n"),
        ("run PGPASSWORD=a", "run(withheld)"),
        ("runs of ghp_" + "a1" * 18, "runs of (withheld)"),
        ("password=a", "(withheld)"),
        ("abfss://container@account.example/x", "abfss://container@account.example/x"),
        ("abfss://u:pw@account.example/x", "abfss://account.example/x"),
        ("ssh://git@github.com/o/r", "ssh://github.com/o/r"),
        ("https://h/?tokenizer=bert", "https://h/?tokenizer=bert"),
    ],
)
def test_names_are_left_without_it(text: str, left: str) -> None:
    assert without_secrets(text) == left
    assert without_secrets(left) == left


def test_a_name_is_read_by_its_end_however_long() -> None:
    assert is_secret_name("a" * 100_000 + "_password")
    assert find_secret("a" * 100_000 + "_password=x") is not None
    assert not is_secret_name("password_" + "a" * 100_000)


CHARACTERS = 100_000
LONG = [
    "a", "=", ":", "@", "/", "://", "://a", "-", "--", ".", " ", "%", "%41", "?", "&", "eyJ", "eyJaaaaaaaa.", "sk-",
    "hf_",
    "bearer ", "bearer a", "-----BEGIN ", "-----BEGIN A", "a=", "key=", "apikey ", "password ", "token:", "token: ",
    "A",
    'password"', "password\\", "aA", "a_", "a-", "'", "gh", "xoxb-", "AKIA", "a:b", "//", "https://a:", "-u ",
    "--token ",
    "login -p", "\\", "pass", "secret=\t", "=token", "${", "token=$", "authorization: bearer ",
    "authorization:        ",
]  # fmt: skip


@pytest.mark.parametrize("piece", LONG)
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * (CHARACTERS // len(piece) + 1))[:CHARACTERS]
    started = time.monotonic()
    find_secret(text)
    find_secret_word([text])
    without_secrets(text)
    assert time.monotonic() - started < 4  # a second at most; what is quadratic takes minutes


def test_the_message_of_a_uri_does_not_show_it() -> None:
    with pytest.raises(MalformedError, match="origin holds a secret") as caught:
        check_no_secret("https://h.example/?token=hunter2", "origin")
    assert "hunter2" not in f"{caught.value!r}{caught.value}{caught.value.got}"
