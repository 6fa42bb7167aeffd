"""What Docker's API does not have: plans, base images without a registry, what the machine permits.

A client finds out whether it talks to this kind of engine by asking for one of these paths: others answer
404.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from cutaway.api.answers import JsonLines, json_answer
from cutaway.api.bootstrapping import bootstrap_image
from cutaway.api.routing import Answer, Call, Routes
from cutaway.container.plan import Plan
from cutaway.container.spec import CreateBody
from cutaway.errors import BadInputError, CutawayError, NotFoundError
from cutaway.linux.recording import plan_calls

routes = Routes()


@routes.get("/cutaway/doctor")
async def doctor(call: Call) -> Answer:
    """`GET /cutaway/doctor`: what this machine permits, found by trying."""
    from cutaway.linux import probe  # it makes a child for each question: not needed before somebody asks

    findings = await asyncio.to_thread(probe.probe)
    return json_answer([dataclasses.asdict(finding) for finding in findings])


@routes.post("/cutaway/plan")
async def plan(call: Call) -> Answer:
    """`POST /cutaway/plan?name=`: the body of a create; the steps that its start would take, and takes none.

    `{"steps": [{"phase", "step", "text", "fields", "calls": ["mount(…) = 0", …]}]}`
    """
    body = await call.body(CreateBody)
    found = await call.engine.containers.plan(call.text("name"), body)
    return json_answer({"steps": told(found)})


@routes.get("/cutaway/containers/{id}/plan")
async def trace(call: Call) -> Answer:
    """`GET /cutaway/containers/{id}/plan`: the steps of the last start, each with its time and its result."""
    found = await call.engine.containers.trace(call["id"])
    if found is None:
        raise NotFoundError(f"container {call['id']} has not been started", "start it, then look again")
    return json_answer(found)


@routes.post("/cutaway/images/bootstrap", streaming=True)
async def bootstrap(call: Call) -> Answer:
    """`POST /cutaway/images/bootstrap?name=busybox`: make a base image; a stream of progress."""
    name = call.text("name")
    if not name:
        raise BadInputError("no image is named", "give the query parameter name")
    lines = JsonLines(call.request)
    try:
        await bootstrap_image(call.engine, name, lines)
    except CutawayError as error:
        await lines.fail(error)
    return lines.response


def told(plan: Plan) -> list[dict[str, Any]]:
    """A plan as data: each step with its phase, its sentence, its fields and its system calls."""
    steps: list[dict[str, Any]] = []
    for phase, phase_steps in plan.phases():
        if phase == "beside":
            clone = f"clone({'|'.join(f'CLONE_NEW{name.upper()}' for name in plan.namespaces) or 'SIGCHLD'})"
            fields = {"namespaces": list(plan.namespaces)}
            text = plan.describe_clone()
            steps.append(
                {"phase": "clone", "step": "Clone", "text": text, "fields": fields, "calls": [clone]}
            )
        for step, calls in plan_calls(phase_steps):
            fields = step.to_json()
            kind = fields.pop("step")
            steps.append(
                {"phase": phase, "step": kind, "text": step.describe(), "fields": fields, "calls": calls}
            )
    return steps
