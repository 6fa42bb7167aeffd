# make lab    set up everything that is missing, then open the course in JupyterLab
# make test   set up everything that is missing, then run every test
# make lint   style, types and the direction of imports
# make bench  speed and memory, as ratios in one run
#
# The first two name the system packages before they install them. They need Debian or Ubuntu and Python 3.11.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help lab test lint bench clean lab-packages test-packages

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The engine compiles its seccomp filter with libseccomp2, makes base images with mmdebstrap; `--init` runs tini.
LAB_PACKAGES := ca-certificates libseccomp2 mmdebstrap procps python3-venv tini
# The tests open the lesson in a real browser, look at links and firewall with ip and nft, and compile the floor.
TEST_PACKAGES := $(LAB_PACKAGES) busybox-static chromium fonts-dejavu-core gcc iproute2 libc6-dev nftables

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

lab: $(VENV)/.lab
	$(BIN)/cutaway lab

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.test
	$(BIN)/python tests/bench/bench.py

clean:
	rm -rf $(VENV)

$(VENV)/.lab: pyproject.toml | lab-packages $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/.test: pyproject.toml | test-packages $(BIN)/python
	$(PIP) --editable '.[test]'
	touch $@ $(VENV)/.lab

$(BIN)/python: | lab-packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11"; \
	    echo "hint: name a newer one, as in: make PYTHON=/usr/bin/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

lab-packages:
	@$(call install,$(LAB_PACKAGES))

test-packages:
	@$(call install,$(TEST_PACKAGES))

# Installs those of the named packages that are missing; says which before it asks for root.
define install
installed=$$(dpkg-query --show --showformat '$${db:Status-Status} $${Package}\n' $(1) 2>/dev/null | sed -n 's/^installed //p' || true); \
missing=$$(comm -23 <(printf '%s\n' $(1) | sort) <(sort <<< "$$installed") | xargs); \
if [ -n "$$missing" ]; then \
  echo "system packages to install: $$missing"; \
  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
  if [ -n "$$sudo" ] && ! command -v sudo > /dev/null; then \
    echo "error: installing them takes root, and there is no sudo here"; \
    echo "hint: ask an administrator for: apt-get install $$missing"; exit 1; fi; \
  $$sudo apt-get update -qq; \
  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing > /dev/null; \
fi
endef
