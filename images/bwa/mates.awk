# Reads the two files of a lane side by side, checks each record and that the two are mates, and writes them
# interleaved for `bwa mem -p`. A FASTQ that is broken, short or swapped would otherwise be aligned in part and
# in silence: BWA takes the end of the shorter file, or a broken record, for the end of the data.
#
#   mawk -v R1=FIFO -v R2=FIFO -v NAME1=FILE -v NAME2=FILE -v ERROR=FILE -f mates.awk
#
# On bad data it exits with 65 and writes to ERROR one line: file: reason.

function bad(file, reason) {
    print file ": " reason > ERROR
    close(ERROR)
    exit 65
}

function record_error(head, bases, plus, quality, got) {
    if (got < 4) return "cut off in the middle of a record"
    if (head !~ /^@[^ \t\r\v\f]/) return "its first line does not start with '@' and a name"
    if (length(head) > 255 && length(name_of(head)) > 255) return "its name is longer than 254 characters"
    if (substr(plus, 1, 1) != "+") return "its third line does not start with '+'"
    if (bases ~ /[^A-Za-z.*-]/) return "its bases hold something that is not a base"
    if (length(bases) != length(quality)) return length(bases) " bases but " length(quality) " qualities"
    return ""
}

# The read's name, without the comment and without the mate's mark of older Illumina software.
function name_of(head, space) {
    space = match(head, /[ \t]/)
    if (space) head = substr(head, 1, space - 1)
    if (head ~ /\/[12]$/) head = substr(head, 1, length(head) - 2)
    return head
}

# 1 or 2 where the read says which mate it is, or 0.
function mate_of(head, space) {
    space = match(head, /[ \t]/)
    if (space && substr(head, space + 1) ~ /^[12]:[YN]:/) return substr(head, space + 1, 1) + 0
    if (space) head = substr(head, 1, space - 1)
    if (head ~ /\/[12]$/) return substr(head, length(head)) + 0
    return 0
}

BEGIN {
    count = 0
    for (;;) {
        got1 = (getline head1 < R1) > 0
        got2 = (getline head2 < R2) > 0
        if (!got1 && !got2) break
        if (got1 != got2)
            bad(got1 ? NAME2 : NAME1, "ends after " count " reads, and " (got1 ? NAME1 : NAME2) " goes on")
        count++
        got1 += ((getline bases1 < R1) > 0) + ((getline plus1 < R1) > 0) + ((getline quality1 < R1) > 0)
        got2 += ((getline bases2 < R2) > 0) + ((getline plus2 < R2) > 0) + ((getline quality2 < R2) > 0)
        reason = record_error(head1, bases1, plus1, quality1, got1)
        if (reason != "") bad(NAME1, "record " count " is broken: " reason)
        reason = record_error(head2, bases2, plus2, quality2, got2)
        if (reason != "") bad(NAME2, "record " count " is broken: " reason)
        if (name_of(head1) != name_of(head2))
            bad(NAME1 " and " NAME2, "record " count " is '" substr(name_of(head1), 2, 80) "' in one and '" substr(name_of(head2), 2, 80) "' in the other")
        if (mate_of(head1) == 2 || mate_of(head2) == 1)
            bad(NAME1 " and " NAME2, "record " count " says that the files are swapped: the first must hold the first reads")
        printf "%s\n%s\n+\n%s\n%s\n%s\n+\n%s\n", head1, bases1, quality1, head2, bases2, quality2
    }
    if (count == 0) bad(NAME1 " and " NAME2, "there is no read in them")
}
