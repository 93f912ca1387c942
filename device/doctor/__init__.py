"""Checks everything that usually causes trouble, and says what to do.

for verdict in examine(load_patient(None)):
    print(verdict.state, verdict.check, verdict.found, verdict.todo)
"""

from device.doctor.machine import MACHINE_CHECKS
from device.doctor.parts import PART_CHECKS
from device.doctor.verdict import Check, Patient, Verdict, failure, load_patient
from device.errors import FluocountError

__all__ = ["CHECKS", "Patient", "Verdict", "examine", "load_patient"]

CHECKS: dict[str, Check] = MACHINE_CHECKS | PART_CHECKS


def examine(patient: Patient, checks: dict[str, Check] = CHECKS) -> list[Verdict]:
    """Run every check. A check that raises a fluocount or system error counts as failed; the others still run."""
    verdicts = []
    for name, check in checks.items():
        try:
            verdict = check(patient)
        except FluocountError as error:
            verdict = failure(str(error), "")
        except OSError as error:
            verdict = failure(f"{error.filename or 'the system'}: {error.strerror}", "")
        verdicts.append(verdict.under(name))
    return verdicts
