"""What Schemathesis does before each call, beside what the document says.

Nothing is to be waited for, ids name things that are there, and what a schema cannot express is left out of calls that
are meant to fit: a cursor comes from the page before and not together with an offset, the steps of a plan depend on
others of it and have names of their own, an id in a nullable field is made without its format, 1.0 is an integer to
JSON Schema but not to the server, and a number that no machine can hold is one.
"""

import os
import uuid

import schemathesis

KNOWN = {name: os.environ["REGATTA_" + name.upper()] for name in ("task_id", "subtask_id", "worker_id")}


def is_uuid(text):
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


def whole(value):
    """The same value with 1 for 1.0, and with numbers that can be held."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**63 else 0
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return value


def sound_plan(task):
    """Takes out of a task what only its plan as a whole makes right."""
    if isinstance(task, dict):
        for number, step in enumerate(task.get("subtasks") or []):
            step.pop("depends_on", None)
            step["name"] = str(number)
            if step.get("tool") == "command":
                step.pop("tool")


@schemathesis.hook
def before_call(context, case, kwargs):
    fits = case.meta is not None and case.meta.generation.mode.is_positive
    if case.query:
        if "wait_seconds" in case.query:
            case.query["wait_seconds"] = 0
        if fits:
            case.query.pop("cursor", None)
    if isinstance(case.body, dict):
        if isinstance(case.body.get("wait_seconds"), (int, float)):
            case.body["wait_seconds"] = 0
        if fits:
            if isinstance(case.body.get("worker_id"), str):
                case.body["worker_id"] = KNOWN["worker_id"]
            case.body = whole(case.body)
            for task in [case.body, *(case.body.get("tasks") or [])]:
                sound_plan(task)
    # In a sequence ids come from the calls before, and what is there must not be deleted from under the other calls.
    if case.method.upper() == "DELETE" or case.meta is None or case.meta.phase.name == "stateful":
        return
    for name, known in KNOWN.items():
        if case.path_parameters and is_uuid(case.path_parameters.get(name)):
            case.path_parameters[name] = known
