# The two commands are `make run` and `make test`; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# A GLUE folder: data/glue, or one that a team shares beside the checkout.
GLUE_DIR ?= $(abspath $(firstword $(wildcard data/glue ../shared/data/glue)))
export GLUE_DIR

# RoBERTa's tokenizer files, for parity.
ROBERTA_TOKENIZER ?= $(abspath $(firstword $(wildcard data/roberta-base-tokenizer ../shared/data/models/roberta-base-tokenizer)))

# What `make run` trains: MRPC where it is at hand, else the built-in task.
CONFIG ?= $(if $(wildcard $(GLUE_DIR)/MRPC/train.tsv),configs/quick-mrpc.yaml,configs/sample.yaml)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VENV := .venv
FUZZTIME ?= 1m

# Tokenizers to compare beside MiniLM's: a RoBERTa's, where a team shares one beside the checkout.
TOKENIZERS ?= $(wildcard ../shared/data/models/roberta-base-tokenizer)

.PHONY: help setup build portable run test lint parity parity-tokenizer parity-cluster glue-minilm glue-minilm-runs glue-minilm-pack bench bench-quick bench-growth bench-cuda bench-go profile docs glue fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## find or install libtorch and fit gotch to it
	@GOWORK=off go run ./cmd/setup

build: setup ## build bin/finetune
	@go build -buildvcs=auto -o bin/finetune ./cmd/finetune

portable: build ## build bin/finetune-portable, without paths of this machine, for other machines with the same PyTorch
	@packaging/portable bin/finetune-portable

run: build ## fine-tune a real BERT with a MetaTT adapter (CONFIG=configs/….yaml)
	@bin/finetune fetch minilm
	@bin/finetune train -c $(CONFIG)

test: setup ## run all tests
	@go test -timeout 40m ./...

lint: setup ## vet and staticcheck
	@go vet ./...
	@go run $(STATICCHECK) ./...

parity: build $(VENV)/ready ## compare with PyTorch, transformers and PEFT (needs a GLUE folder)
	@test -n "$(GLUE_DIR)" || { echo "parity: no GLUE folder: put one at data/glue or set GLUE_DIR" >&2; exit 1; }
	@bin/finetune fetch minilm
	@go build -o bin/dump ./parity/dump
	@$(VENV)/bin/python parity/models.py compare --dump bin/dump --model "$$(bin/finetune fetch minilm --print-path)"
	@$(VENV)/bin/python parity/peft_adapters.py --dump bin/dump
	@$(VENV)/bin/python parity/peft_files.py --dump bin/dump --finetune bin/finetune
	@$(VENV)/bin/python parity/methods.py --dump bin/dump
	@$(VENV)/bin/python parity/export.py --dump bin/dump --finetune bin/finetune
	@$(VENV)/bin/python parity/merged_tasks.py --finetune bin/finetune
	@$(VENV)/bin/python parity/event_files.py --finetune bin/finetune
	@$(VENV)/bin/python parity/same_number.py --finetune bin/finetune --model "$$(bin/finetune fetch minilm --print-path)" --glue "$(GLUE_DIR)" --roberta-tokenizer "$(ROBERTA_TOKENIZER)"
	@$(VENV)/bin/python parity/train_steps.py --finetune bin/finetune --model "$$(bin/finetune fetch minilm --print-path)" --glue "$(GLUE_DIR)" --roberta-tokenizer "$(ROBERTA_TOKENIZER)"
	@$(VENV)/bin/python parity/accumulate.py --finetune bin/finetune --model "$$(bin/finetune fetch minilm --print-path)" --glue "$(GLUE_DIR)" --roberta-tokenizer "$(ROBERTA_TOKENIZER)"
	@$(VENV)/bin/python parity/multi_task.py --finetune bin/finetune --model "$$(bin/finetune fetch minilm --print-path)" --glue "$(GLUE_DIR)" --roberta-tokenizer "$(ROBERTA_TOKENIZER)"

parity-tokenizer: build $(VENV)/ready ## compare ids with Hugging Face's on all of GLUE (TOKENIZERS=folders)
	@test -n "$(GLUE_DIR)" || { echo "parity-tokenizer: no GLUE folder: put one at data/glue or set GLUE_DIR" >&2; exit 1; }
	@bin/finetune fetch minilm
	@$(VENV)/bin/python pkg/tokenizer/parity/compare.py $(addprefix --tokenizer ,$(TOKENIZERS)) \
	  --tokenizer "$$(bin/finetune fetch minilm --print-path)" "$(GLUE_DIR)"/*/*.tsv

parity-cluster: build ## runs of several processes on MPI and Slurm, and a job array (needs both, and root) against one process
	@python3 parity/parallel.py --finetune bin/finetune
	@python3 parity/arrays.py --finetune bin/finetune

$(VENV)/ready: parity/requirements.txt
	@python3 -m venv $(VENV) || { echo "parity: python3 has no venv: apt-get install python3-venv" >&2; exit 1; }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r parity/requirements.txt
	@touch $@

BENCH_INPUTS = --finetune bin/finetune --glue "$(GLUE_DIR)" --minilm "$$(bin/finetune fetch minilm --print-path)" \
  --roberta-tokenizer "$(ROBERTA_TOKENIZER)" --only "$(BENCH)" --rounds $(or $(ROUNDS),0) --steps $(or $(STEPS),0) --threads $(or $(THREADS),0) \
  $(if $(COMPILE),--compile) --out bin/bench.jsonl

bench: build $(VENV)/ready glue ## compare with transformers + PEFT (BENCH="minilm mrpc fp32 lora", ROUNDS, STEPS, THREADS, COMPILE=1)
	@bin/finetune fetch minilm
	@$(VENV)/bin/python bench/compare.py $(BENCH_INPUTS)

# Each question goes on where it was left; what was committed of it counts, and what has ended is kept for committing. A run that
# failed (exit 1) stops nothing.
QUESTIONS ?= usual seeds steady qnli start dmrg rates budgets longer tasks append-1 append-2 append-3 starts starts-4d alpha alpha-seeds alpha-tasks alpha-budgets look depth cost

glue-minilm-runs: build $(VENV)/ready glue ## make the runs of experiments/glue-minilm that are left (QUESTIONS="usual dmrg")
	@bin/finetune fetch minilm
	@failed() { [ $$1 -eq 1 ] || exit $$1; }; \
	for question in $(QUESTIONS); do \
	  file=experiments/glue-minilm/$$question.yaml records=experiments/glue-minilm/records/$$question.tar.gz; \
	  [ ! -e $$records ] || bin/finetune experiment -c $$file --take $$records >/dev/null || failed $$?; \
	  bin/finetune experiment -c $$file || failed $$?; \
	  $(VENV)/bin/python experiments/glue-minilm/records.py bin/finetune $$question; \
	done

glue-minilm-pack: portable glue ## pack those that one model makes and none waits for into bin/glue-minilm.tar.gz for a machine with a GPU and PyTorch
	@bin/finetune fetch minilm
	@bin/finetune experiment $(foreach question,$(filter-out depth append-% cost,$(QUESTIONS)),-c experiments/glue-minilm/$(question).yaml) --pack bin/glue-minilm.tar.gz

glue-minilm: $(VENV)/ready ## make the tables and pictures of experiments/glue-minilm of its committed records
	@$(VENV)/bin/python experiments/glue-minilm/page.py

bench-quick: build $(VENV)/ready glue ## the same in two minutes: MiniLM on MRPC, one round of few steps
	@bin/finetune fetch minilm
	@$(VENV)/bin/python bench/compare.py $(BENCH_INPUTS) --quick $(if $(BENCH),,--only "minilm mrpc")

docs: build ## write docs/config.md, which lists every key
	@mkdir -p docs
	@bin/finetune validate --markdown > docs/config.md

glue:
	@test -n "$(GLUE_DIR)" || { echo "no GLUE folder: put one at data/glue or set GLUE_DIR" >&2; exit 1; }

bench-growth: build $(VENV)/ready ## what a step costs as length, batch, layers and classes grow (GROWTH="length batch", STEPS, THREADS)
	@bin/finetune fetch minilm
	@$(VENV)/bin/python bench/growth.py --finetune bin/finetune --tokenizer "$$(bin/finetune fetch minilm --print-path)" \
	  --only "$(GROWTH)" --steps $(or $(STEPS),5) --threads $(or $(THREADS),0) --out bin/growth.jsonl

# It waits as finetune does.
profile: build ## where a step's time goes, by operation (CONFIG=configs/….yaml, PROFILE="-steps 20 model.dtype=fp32")
	@bin/finetune fetch minilm
	@go build -o bin/profile ./bench/profile
	@GOMP_SPINCOUNT=5000 bin/profile -c $(CONFIG) $(PROFILE)

bench-cuda: build glue ## pack bin/bench-cuda, a folder whose run.sh does all that on a machine with a GPU
	@bin/finetune fetch minilm
	@bench/cuda/pack.sh bin/bench-cuda "$(GLUE_DIR)" "$$(bin/finetune fetch minilm --print-path)"

bench-go: setup ## benchmarks of the tensor layer, of sweeps, of loading and of a training step
	@go test -run '^$$' -bench . ./pkg/torch ./pkg/dmrg
	@go test -timeout 1h -run '^$$' -bench . -benchtime 1x ./pkg/models ./pkg/optim ./pkg/train ./pkg/run

# Inputs lie in memory where that is a folder. Go would spend a minute on shrinking each new input.
fuzz: setup ## every fuzz target for FUZZTIME (1m), FUZZ=NAMES for some; each must run 10,000 inputs
	@export GOTMPDIR=$${TMPDIR:-/tmp} TMPDIR=$(firstword $(wildcard /dev/shm) /tmp); failed=; \
	for found in $$(grep -rnoE '^func Fuzz[A-Za-z0-9]+' --include='*_test.go' pkg | sed -E 's|/[^/]*:[0-9]+:func |:|' | sort); do \
	  folder=$${found%:*} target=$${found#*:}; \
	  [[ -z "$(FUZZ)" || " $(FUZZ) " == *" $$target "* ]] || continue; \
	  output=$$(go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "./$$folder" 2>&1) || { failed=1; echo "$$output"; }; \
	  runs=$$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' <<<"$$output" | tail -1); \
	  printf '%-28s %-22s %10d inputs\n' "$$folder" "$$target" "$${runs:-0}"; \
	  (( $${runs:-0} >= 10000 )) || { failed=1; echo "$$target: fewer than 10,000 inputs" >&2; }; \
	done; [ -z "$$failed" ]

clean: ## remove what was built, not what was downloaded or trained
	@rm -rf bin .gotch .gotch-unfinished go.work go.work.sum pkg/torch/*/libtorch_flags.go
