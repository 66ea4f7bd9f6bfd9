"""Known vulnerabilities of the locked requirements, by pip-audit: `make audit`.

usage: audit.py PIP_AUDIT LOCK...
exits with 1 where any is known, with 75 where the vulnerability database cannot be asked.
"""

import json
import subprocess
import sys

NOT_ASKED = 75


def audit(tool: str, lock: str) -> tuple[list[str], int, int]:
    """Findings, number of packages looked up, number of packages in the lock."""
    command = [tool, "--require-hashes", "--disable-pip", "--format", "json", "-r", lock]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        sys.exit(f"pip-audit gave no answer for {lock}: {done.stderr.strip()[-500:]}")
    packages = json.loads(done.stdout)["dependencies"]
    asked = [package for package in packages if "skip_reason" not in package]
    findings = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {found['fix_versions']}"
        for package in asked
        for found in package["vulns"]
    ]
    return findings, len(asked), len(packages)


def main() -> int:
    """Audit every lock; the worst result counts."""
    tool, *locks = sys.argv[1:]
    code = 0
    for lock in locks:
        findings, asked, total = audit(tool, lock)
        print(f"{lock}: {asked} of {total} packages looked up, {len(findings)} vulnerabilities")
        print("".join(f"  {finding}\n" for finding in findings), end="")
        if findings:
            code = 1
        elif asked == 0 and code == 0:
            code = NOT_ASKED
    if code == NOT_ASKED:
        print("NOT AUDITED: the package index here gives no vulnerability data (pypi.org does)")
    return code


if __name__ == "__main__":
    sys.exit(main())
