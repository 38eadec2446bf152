# The output contract: what must be there when a sample's steps have all ended, and how it must fit together.
# Sourced by commands.sh.
# shellcheck shell=dash
# shellcheck disable=SC2154  # sample, shards, RUN and WORK are set where the command begins

# step check REFERENCE SAMPLE LANE[,LANE...] SKIP SHARDS: holds what a sample's run left against the contract. It reads
# records, headers and last blocks, and no large file as a whole. Its record lists every file of the contract.
do_check() {
    reference=${1:-} sample=${2:-} lanes=${3:-} shards=${5:-}
    take_skip "${4:--}"
    [ $# -le 5 ] || { shift 5 && no_more "$@"; }
    enter "$reference" "$sample"
    lane_names=$(each_lane "$lanes")
    need_number "number of shards" "$shards" 1 9999
    bam=$RUN/$sample.bam vcf=$RUN/$sample.vcf.gz
    bam_step=$(writer_of_bam)
    bam_index=$(index_named "$bam_step" "$bam" bai)
    vcf_index=$(index_named gather "$vcf" tbi)
    calls=$(each_call)
    for name in "$bam" "$bam_index" "$vcf" "$vcf_index"; do there "$name"; done
    for name in "$bam_step" ${judging:+qc} $calls gather; do there "$RUN/steps/$name.json"; done
    begin check step check "$reference" "$sample" "$lanes" "${4:--}" "$shards"
    # Only a run that keeps the contract now has the record that says so.
    rm -f "$RECORD"

    check_record "$bam_step" "${bam_step%%.*}"
    [ -z "$judging" ] || check_record qc qc
    for name in $calls; do
        shard=${name#call.}
        check_record "$name" call "$shards" "${shard%-of-*}"
    done
    check_record gather gather "$shards"
    declared > contract
    while read -r writer output; do
        check_file "$writer" "$output"
    done < contract
    check_alignments
    check_variants
    while read -r writer output; do
        check_entry "$writer" "$output"
    done < contract
    check_origins
    finish
}

# The step that writes the BAM: of a sample of one lane the one that aligns it, unless it was asked for the lane alone.
writer_of_bam() {
    case $lanes in
        *,*) echo finish ;;
        *) if grep -qs "/lanes/$lanes.bam\"" "$RUN/steps/mem.$lanes.json"; then echo finish; else echo "mem.$lanes"; fi ;;
    esac
}

# The contract: each file, after the step that writes it.
declared() {
    printf "$bam_step %s\n" "$bam" "$bam_index" ${marking:+"$RUN/qc/$sample.markdup.txt"}
    if [ -n "$judging" ]; then printf "qc $RUN/qc/$sample.%s.txt\n" flagstat coverage idxstats stats; fi
    for name in $calls; do
        echo "$name $RUN/shards/${name#call.}.vcf.gz"
    done
    printf 'gather %s\n' "$vcf" "$vcf_index" "$RUN/qc/$sample.bcftools.txt"
}

each_call() {
    shard=0
    while [ "$shard" -lt "$shards" ]; do
        echo "call.$shard-of-$shards"
        shard=$((shard + 1))
    done
}

# there FILE: an input, if it is there; if not, that is said once the record of an earlier check is gone.
there() {
    [ ! -e "$1" ] || input "$1"
}

# index_named STEP FILE DEFAULT: the index of a file that a step's record names.
index_named() {
    if grep -qs "\"$2.csi\"" "$RUN/steps/$1.json"; then echo "$2.csi"; else echo "$2.$3"; fi
}

# breach CLASS WHAT WHY STEP: for what running the sample again mends, since that step then finds its work not done.
breach() {
    die "$1" "$2" "$3" "Run the sample again: $4 does its work anew, and what is whole is kept."
}

# entries STEP SECTION: the files that a step's record names as `inputs` or `outputs`, a line each.
entries() {
    sed -n "/^  \"$2\": /,/^  \]/s/^    \({\"path\": .*}\),*\$/\1/p" "$RUN/steps/$1.json"
}

# What stands for a file's content in entries: its digest, and its time only where it has none.
contents() {
    sed 's/"mtime": [0-9]*, "sha256": "/"sha256": "/'
}

# check_record STEP COMMAND [ARGUMENT...]: there is a record, and it is of this command on this sample.
check_record() {
    writer=$1
    [ -s "$RUN/steps/$writer.json" ] ||
        breach missing "no record of $writer" "$RUN/steps/$writer.json is not there, or empty" "$writer"
    words="\"step\", \"$2\", \"$reference\", \"$sample\""
    shift 2
    for word in "$@"; do
        words="$words, \"$word\""
    done
    said=$(sed -n 's/^  "command": \[\(.*\)\],$/\1/p' "$RUN/steps/$writer.json")
    case "$said," in
        "$words,"*) ;;
        *) breach data "steps/$writer.json is the record of another step" \
            "its command is '$(shown "$(echo "$said" | tr -d '",')")'" "$writer" ;;
    esac
}

# check_file STEP FILE
check_file() {
    [ -f "$2" ] || breach missing "no ${2#"$RUN/"}" "$2 is not there" "$1"
    [ -s "$2" ] || breach data "${2#"$RUN/"} is empty" "$1 leaves none that is" "$1"
}

# check_entry STEP FILE: the file is the one that the step wrote; as the step's record names it, it goes into this one.
check_entry() {
    entry=$(entries "$1" outputs | grep -F "{\"path\": \"$2\", ") ||
        breach data "${2#"$RUN/"} is not what $1 wrote" "steps/$1.json does not name it" "$1"
    now=$(stat -c '"size": %s, "mtime": %Y' "$2")
    case $entry in
        "{\"path\": \"$2\", $now, "*) ;;
        *) breach data "${2#"$RUN/"} is not what $1 wrote" "it has $(echo "$now" | tr -d '"'), and steps/$1.json says $(
            echo "$entry" | sed 's/.*\("size": .*\), "sha256".*/\1/' | tr -d '"')" "$1" ;;
    esac
    OUTPUTS="$OUTPUTS${OUTPUTS:+,
}    $entry"
}

check_index_age() {
    # shellcheck disable=SC3013  # busybox test has -ot
    [ ! "$2" -ot "$1" ] || die data "$(basename "$2") is older than $(basename "$1")" "it is the index of another file" \
        "Remove it and run the sample again."
}

check_alignments() {
    check_bam "$bam" "$sample"
    groups=$(samtools head "$bam" | sed -n 's/^@RG\t\(.*\t\)*ID:\([^\t]*\).*/\2/p' | sort)
    [ "$groups" = "$(for lane in $lane_names; do echo "$sample.$lane"; done | sort)" ] ||
        breach data "$(basename "$bam") is not of the lanes $(shown "$lanes")" \
            "its read groups are '$(shown "$(echo "$groups" | tr '\n' ' ' | sed 's/ $//')")'" "$bam_step"
    check_index_age "$bam" "$bam_index"
    index_works "$bam" "$bam_index" || die data "$(basename "$bam_index") is broken" \
        "samtools cannot find reads by it" "Remove it and run the sample again."
}

check_variants() {
    for output in "$vcf" "$vcf_index" $(sed -n 's/^call\.[^ ]* //p' contract); do
        bgzf_is_whole "$output" || die data "${output#"$RUN/"} is broken" "it was cut off: its last block is missing" \
            "Remove it and run the sample again."
    done
    columns=$({ gunzip -c "$vcf" 2> /dev/null || true; } |
        awk -F '\t' '$1 == "#CHROM" { for (i = 10; i <= NF; i++) print $i } !/^##/ { exit }')
    [ "$columns" = "$sample" ] || die data "$(basename "$vcf") is not of sample $sample" "it holds '$(shown "$columns")'" \
        "Remove it and run the sample again."
    check_index_age "$vcf" "$vcf_index"
}

# Whether the files were made from each other: QC and every shard from this BAM, all shards on the same reference,
# the VCF from these shards.
check_origins() {
    entries "$bam_step" outputs | grep -F "\"$bam\"" | contents > bam.entry
    for name in ${judging:+qc} $calls; do
        entries "$name" inputs | contents > made_from
        grep -qxFf bam.entry made_from ||
            breach data "$name was not made from $(basename "$bam")" "steps/$name.json names an earlier one" "$name"
        case $name in
            call.0-*) mv made_from first_made_from ;;
            call.*) cmp -s made_from first_made_from || breach data "$name was made from other files than call.0-of-$shards" \
                "the two records name another reference or index" "whichever is out of date" ;;
        esac
    done
    entries gather inputs | contents > made_from
    for name in $calls; do
        entries "$name" outputs | contents > shard.entry
        grep -qxFf shard.entry made_from || breach data "$(basename "$vcf") was not made from shards/${name#call.}.vcf.gz" \
            "steps/gather.json does not name it, or an earlier one" gather
    done
}
