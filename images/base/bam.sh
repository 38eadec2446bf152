# A sample's BAM: what the step that aligns its only lane and the step that merges several lanes have in common.
# Sourced after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154  # commands read what is set here, and set THREADS, RUN and sample

# Of the final BAM. A level more costs half as much again in time, and saves less than a hundredth of the size.
BAM_LEVEL=5
# SAMtools writes an index beside the BAM that it writes; of one that goes into a pipe, this names it.
INDEXED='/dev/stdout##idx##out.bam.bai'

# each_lane LANE[,LANE...]: the lanes, a line each. For a subshell: only commas part lanes, and a '*' stays what it is.
each_lane() {
    set -f
    IFS=,
    # shellcheck disable=SC2086  # a word each
    set -- $1
    [ $# -gt 0 ] || die usage "no lanes" "the names of the sample's lanes are needed" "Give them as L001,L002."
    for lane in "$@"; do
        need_name lane "$lane" 64
    done
    twice=$(printf '%s\n' "$@" | sort | uniq -d | head -n 1)
    [ -z "$twice" ] || die usage "lane '$twice' is given twice" "its reads would count twice" "Name each lane once."
    printf '%s\n' "$@"
}

# take_skip WORDS: what is not to be done: `duplicates`, `qc`, both, parted by a comma, or `-`. Sets `marking` and
# `judging`, empty where the one is skipped, and `skipped`, what of it this BAM depends on.
take_skip() {
    marking=yes judging=yes skipped=-
    given "$1" || return 0
    case ,$1, in
        ,duplicates, | ,qc, | ,duplicates,qc, | ,qc,duplicates,) ;;
        *) die usage "cannot skip '$(shown "$1")'" "only 'duplicates' and 'qc' can be skipped" "Give one, or both with a comma." ;;
    esac
    case $1 in *duplicates*) marking='' skipped=duplicates ;; esac
    case $1 in *qc*) judging='' ;; esac
}

# mark BAM: out.bam, with duplicates marked, and its index, in one pass.
mark() {
    stage markdup samtools markdup -@ "$((THREADS - 1))" -T markdup -f markdup.txt \
        --output-fmt-option level=$BAM_LEVEL --write-index "$1" "$INDEXED" | digested out.bam
}

# index_works BAM INDEX: by a look at the first base, since idxstats would do without: it reads the whole BAM instead.
index_works() {
    first=$(samtools head "$1" | sed -n 's/^@SQ\t\(.*\t\)*SN:\([^\t]*\).*/\2/p' | sed -n 1p)
    samtools view -c -X "$1" "$2" "{$first}:1-1" > /dev/null 2>&1
}

# publish_bam: out.bam, its index, and what marking duplicates said, once they are found whole.
publish_bam() {
    samtools quickcheck out.bam || die tool "the BAM came out broken" "samtools quickcheck refuses it" "Run the step again."
    index_works out.bam out.bam.bai || die tool "the index came out broken" \
        "samtools cannot read it" "Run the step again."
    # The index is saved before the BAM's last block is out; readers warn of an index that is older.
    touch out.bam.bai
    if [ -n "$marking" ]; then
        publish markdup.txt "$RUN/qc/$sample.markdup.txt"
    else
        rm -f "$RUN/qc/$sample.markdup.txt"
    fi
    publish out.bam.bai "$RUN/$sample.bam.bai"
    publish out.bam "$RUN/$sample.bam"
}
