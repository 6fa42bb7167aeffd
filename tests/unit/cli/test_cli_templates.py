"""Templates give what Go's text/template gives with the structs of Docker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.cli.template_values import TemplateError
from cutaway.cli.templates import Template


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.State.ExitCode}}", "3"),
        ("{{ .State.Running }}", "true"),
        ("{{json .State}}", '{"ExitCode":3,"Running":true}'),
        ("{{.State | json}}", '{"ExitCode":3,"Running":true}'),
        ("{{index .Args 1}}", "b"),
        ('{{index .Labels "a.b"}}', "c"),
        ('{{index .Labels "none"}}|{{.Labels.none}}', "|<no value>"),
        ("{{range .Args}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range $i, $x := .Args}}{{$i}}={{$x}} {{end}}", "0=a 1=b "),
        ("{{range $k, $v := .Labels}}{{$k}}:{{$v}}{{end}}", "a.b:c"),
        ("{{range .None}}x{{else}}empty{{end}}", "empty"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if eq .State.ExitCode 0}}ok{{else if gt .State.ExitCode 2}}bad{{end}}", "bad"),
        ("{{with .State}}{{.ExitCode}}{{end}}", "3"),
        ('{{join .Args ","}}', "a,b"),
        ("{{.Args}} {{.Labels}} {{.None}}", "[a b] map[a.b:c] []"),
        ("{{len .Args}} {{upper .Name}} {{title .Name}}", "2 WEB Web"),
        ("a {{- .Name -}} b", "awebb"),
        ('{{printf "%s-%d" .Name .State.ExitCode}}', "web-3"),
        ("{{(index .Mounts 0).Source}}", "/h"),
        ("{{range .Args}}{{$.Name}}{{end}}", "webweb"),
        ("{{/* nothing */}}x", "x"),
        ("{{.Number}}", "1.5"),
        ("{{.State.Health}}{{if .State.Health}}{{.State.Health.Status}}{{else}} none{{end}}", "<nil> none"),
        ("{{.ID}} {{.Id}}", "ab ab"),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{index .NetworkSettings.Ports "90/tcp"}}{{index .NetworkSettings.Ports "1/udp"}}', "[][]"),
        (
            "{{range $p,$c := .NetworkSettings.Ports}}{{$p}}{{if $c}}={{(index $c 0).HostIp}}{{end}};{{end}}",
            "80/tcp=::;90/tcp;",
        ),
        ('{{range .Args}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"),
        ('{{range .Args}}{{if eq . "a"}}{{continue}}{{end}}{{.}}{{end}}', "b"),
        ("{{range $i, $e := .Args}}{{if $i}}, {{end}}{{$e}}{{end}}", "a, b"),
        ("{{$n := 0}}{{range $i, $e := .Args}}{{$n = $i}}{{end}}{{$n}}", "1"),
        ("{{with $s := .State}}{{$s.ExitCode}}{{end}}", "3"),
        ("{{with .None}}x{{else with .Name}}{{.}}{{end}}", "web"),
        ("{{if and .State.Running (eq .State.ExitCode 3)}}both{{end}}", "both"),
        ("{{if and .None .State.Nothing}}x{{end}}", ""),
        ('{{eq .Name "a" "web"}} {{ne .Name "web"}} {{lt 1 2}} {{ge 1.5 2.0}}', "true false true false"),
        ("{{slice .Name 1}} {{slice .Name 0 1}} {{slice .Args 1 2}}", "eb w [b]"),
        ('{{split "a:b" ":"}} {{join (split "a:b" ":") "-"}}', "[a b] a-b"),
        ("{{print 1 2 .Name 3}} {{println .Name 1}}", "1 2web3 web 1\n"),
        (
            '{{printf "%-5s|%5.1f|%03d|%q|%t|%v|%x" .Name .Number 7 .Name true .Args 255}}',
            'web  |  1.5|007|"web"|true|[a b]|ff',
        ),
        (
            '{{printf "%d" .Name}} {{printf "%s"}} {{printf "x" 1}}',
            "%!d(string=web) %!s(MISSING) x%!(EXTRA int=1)",
        ),
        ("{{json .None}} {{json .Labels}} {{len .None}}", 'null {"a.b":"c"} 0'),
        ('{{json (index .Labels "none")}}', '""'),
        ('{{title "a bC-d"}} {{lower "AB"}} {{truncate .Name 2}} {{pad .Name 1 2}}|', "A BC-D ab we  web  |"),
        ('{{.Name | printf "%s-%s" "x" | upper}}', "X-WEB"),
        ("{{range 2}}{{.}}{{end}}", "01"),
        ('{{.LogConfig.Config}}{{index .LogConfig.Config "max-size"}}', "map[]"),
    ],
)
def test_templates_are_gos(source: str, text: str) -> None:
    value = {
        "Name": "web",
        "State": {"ExitCode": 3, "Running": True},
        "Args": ["a", "b"],
        "Labels": {"a.b": "c"},
        "None": None,
        "Mounts": [{"Source": "/h"}],
        "Number": 1.5,
        "Id": "ab",
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "::", "HostPort": "8080"}], "90/tcp": None}},
        "LogConfig": {"Type": "json-file", "Config": {}},
    }
    assert Template(source).render(value) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Nope}}", 'at <.Nope>: map has no entry for key "Nope"'),
        ("{{nope .A}}", 'function "nope" not defined'),
        ("{{.A", "unclosed action in '{{.A'"),
        ("{{if .A}}", "unexpected EOF: {{end}} is missing"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{}}", "missing value for command"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{if .A}}{{else}}{{else}}{{end}}", "unexpected {{else}}"),
        ("{{range .A}}{{break}}{{end}}{{break}}", "{{break}} outside {{range}}"),
        ('{{template "x"}}', "{{template}} is not supported: one template has to do"),
        ("{{.state.Status}}", 'at <.state.Status>: map has no entry for key "state"'),
        ("{{$x}}", 'undefined variable "$x"'),
        ("{{.A.B}}", "at <.A.B>: can't evaluate field B in type []any"),
        ('{{eq 1 "1"}}', "error calling eq: incompatible types for comparison"),
        ("{{.A 1}}", "can't give argument to non-function .A"),
        ("{{index .A 9}}", "error calling index: reflect: slice index out of range: 9"),
    ],
)
def test_a_wrong_template_says_what_is_wrong(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source).render({"A": [1]})
    assert caught.value.message == f"template parsing error: {message}"


@given(st.text('{}.|()$ abrangeifd"`:=', max_size=30))
def test_any_template_is_rendered_or_refused(source: str) -> None:
    try:
        Template(source).render({"a": [1, {"b": None}]})
    except TemplateError:
        return
