# The commands of the bcftools image; see README.md. Sourced by `step` after step.sh.
# shellcheck shell=dash
# shellcheck disable=SC2034  # read by step.sh
step_commands='call gather'

# Above any depth that sequencing reaches, so that mpileup neither drops reads (-d, else 250) nor leaves out
# indels (-L, else 250) where data is deep. It drops in silence, so the limit must be one that is never met.
DEEPEST=1000000

# A shard or a VCF that must be whole, and of this sample and no other.
check_calls() {
    bgzf_is_whole "$1" || die "$3" "$(basename "$1") is broken" "it was cut off: its last block is missing" \
        "Remove it and run again the step that wrote it."
    names=$(bcftools query --list-samples "$1") || die "$3" "$(basename "$1") is broken" "bcftools cannot read it" \
        "Remove it and run again the step that wrote it."
    [ "$names" = "$2" ] || die "$3" "$(basename "$1") is not of sample $2" "it holds '$(shown "$names")'" \
        "Check which files belong to which sample."
}

# step call REFERENCE SAMPLE SHARDS [SHARD [PLOIDY]]: variants of one shard of the genome, of SHARDS that take about as
# long, counted from 0, left-aligned and trimmed: shards/SHARD-of-SHARDS.vcf.gz. SHARD defaults to the array job's index.
do_call() {
    reference=${1:-} sample=${2:-} shards=${3:-} shard=${4:--} ploidy=${5:--}
    [ $# -le 5 ] || { shift 5 && no_more "$@"; }
    enter "$reference" "$sample"
    given "$shard" || shard=${AWS_BATCH_JOB_ARRAY_INDEX:-}
    given "$ploidy" || ploidy=2
    need_number "number of shards" "$shards" 1 9999
    need_number shard "$shard" 0 $((shards - 1))
    need_number ploidy "$ploidy" 1 2
    bam=$RUN/$sample.bam
    input "$bam" "$bam.bai"
    find_reference "$reference" .fai
    input "$FASTA" "$FASTA.fai"
    begin "call.$shard-of-$shards" step call "$reference" "$sample" "$shards" "$shard" "$ploidy"

    names=$(samples_of_bam "$bam" "$(head -n 1 "$FASTA.fai" | cut -f 1)") || die data "$(basename "$bam") is broken" \
        "bcftools cannot read it" "Remove it and run again the step that wrote it."
    [ "$names" = "$sample" ] || die data "$(basename "$bam") is not of sample $sample" \
        "its read groups say '$(shown "$names")'" "Check which lanes belong to which sample."
    od -An -v -tu4 "$bam.bai" |
        awk -v SHARD="$shard" -v SHARDS="$shards" -v FAI="$FASTA.fai" -f /usr/local/lib/step/regions.awk > regions.bed
    [ -s regions.bed ] || die usage "too many shards" "the genome of $reference has fewer bases than that" "Give fewer."
    printf '##genomicsImage=%s\n' "${STEP_IMAGE:-}" > header
    # --gvcf has mpileup hand on sites without a variant as blocks, which `call -v` drops as it drops the sites: the
    # records are the same, and a fifth of the time is saved. END and MIN_DP are of those blocks alone.
    stage mpileup bcftools mpileup --no-version -f "$FASTA" -R regions.bed -d $DEEPEST -L $DEEPEST \
        -a FORMAT/AD,FORMAT/DP --gvcf 0 -Ou "$bam" |
        stage call bcftools call --no-version -mv --ploidy "$ploidy" -Ou |
        stage norm bcftools norm --no-version -f "$FASTA" -Ou - |
        stage annotate bcftools annotate --no-version -h header -x INFO/END,INFO/MIN_DP -Oz - |
        digested shard.vcf.gz &
    wait $! || broken=yes
    check_stages mpileup call norm annotate
    check_calls shard.vcf.gz "$sample" tool
    publish shard.vcf.gz "$RUN/shards/$shard-of-$shards.vcf.gz"
    finish
}

# The samples of a BAM, as mpileup sees them; one base of it is enough to tell.
samples_of_bam() {
    bcftools mpileup --no-version --no-reference --regions "$2:1-1" -Ou "$1" 2>/dev/null | bcftools query --list-samples
}

# step gather REFERENCE SAMPLE SHARDS: concatenates the shards as they are, and indexes: SAMPLE.vcf.gz, with its
# figures in qc/.
do_gather() {
    reference=${1:-} sample=${2:-} shards=${3:-}
    [ $# -le 3 ] || { shift 3 && no_more "$@"; }
    enter "$reference" "$sample"
    need_number "number of shards" "$shards" 1 9999
    set --
    shard=0
    while [ "$shard" -lt "$shards" ]; do
        set -- "$@" "$RUN/shards/$shard-of-$shards.vcf.gz"
        shard=$((shard + 1))
    done
    input "$@"
    find_reference "$reference" .fai
    input "$FASTA" "$FASTA.fai"
    begin gather step gather "$reference" "$sample" "$shards"

    for file in "$@"; do
        check_calls "$file" "$sample" data
    done
    # A .tbi reaches 512 Mb into a sequence; a longer one needs a .csi.
    index=tbi
    [ "$(sort -k2,2nr "$FASTA.fai" | head -n 1 | cut -f 2)" -lt 536870912 ] || index=csi
    # Compressed blocks are copied as they are. Left-aligned, an indel at the start of a shard may come to stand before
    # the last records of the one before: then the index, which takes nothing but order, is refused, and the records are
    # put in order.
    stage concat bcftools concat --no-version --naive "$@" | digested calls.vcf.gz &
    wait $! || broken=yes
    check_stages concat
    if ! stage index bcftools index --$index calls.vcf.gz 2> index.log; then
        grep -q 'Unsorted positions' index.log || cat index.log >&2
        stage concat bcftools concat --no-version -Ou "$@" |
            stage norm bcftools norm --no-version -f "$FASTA" -Oz - |
            digested calls.vcf.gz &
        wait $! || broken=yes
        check_stages concat norm
        stage index bcftools index --force --$index calls.vcf.gz || true
    fi
    stage stats bcftools stats calls.vcf.gz > stats.txt || true
    check_stages index stats
    check_calls calls.vcf.gz "$sample" tool
    publish stats.txt "$RUN/qc/$sample.bcftools.txt"
    publish "calls.vcf.gz.$index" "$RUN/$sample.vcf.gz.$index"
    publish calls.vcf.gz "$RUN/$sample.vcf.gz"
    finish
}
