# SPDX-License-Identifier: MIT
"""Rows whose checks need more than a sandbox and a probe: where they are."""
