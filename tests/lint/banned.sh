#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Calls that overflow, lie about errors, are not safe here, or block the loop; and SQL settings
# that would outlive their transaction. Exceptions stand in allow.txt, each with its reason.
source "$(dirname "$0")/common.sh"

calls=(
  strcpy strcat sprintf vsprintf gets strtok strncpy stpcpy         # no bounds, or hidden state
  atoi atol atoll atof alloca                                       # no errors
  rand srand random localtime gmtime ctime asctime                  # weak, or not reentrant
  setjmp longjmp
  system popen                                                      # a shell
  malloc calloc realloc strdup strndup asprintf vasprintf           # base/mem.h aborts instead
  getaddrinfo getnameinfo gethostbyname gethostbyaddr               # block on DNS
  sleep usleep nanosleep select poll pause                          # block the loop
  PQexec PQexecParams PQexecPrepared PQprepare PQgetResultWait
  PQconnectdb PQconnectdbParams PQsetdbLogin PQreset PQping         # block on PostgreSQL
  PQcancel                                                          # hangs on a stopped server
  curl_easy_perform curl_multi_wait curl_multi_poll                 # block on the network
)
# Tests may allocate, wait and resolve as they like: they have no loop to hold up.
for_tests='^(malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf|getaddrinfo|nanosleep|poll|setjmp|pause)$'

# findings FILE…: "file line call" for each banned call outside comments and strings.
findings() {
  CALLS="${calls[*]}" perl -e '
    my $calls = join "|", split / /, $ENV{CALLS};
    for my $file (@ARGV) {
      open my $in, "<", $file or die "$file: $!";
      local $/; my $text = <$in>;
      # Strings and comments become as many empty lines as they had.
      $text =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27)}
                {my $t = $1; " " . ("\n" x ($t =~ tr/\n//))}gse;
      while ($text =~ /(?<![\w.>])($calls)\s*\(/g) {
        my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
        print "$file $line $1\n";
      }
    }' "$@"
}

# shellcheck disable=SC2046
{
  findings $(product_ch) | while read -r file line call; do
    allowed call "$file" "$call" || echo "$file:$line: $call is banned"
  done
  findings $(tests_ch) | while read -r file line call; do
    [[ $call =~ $for_tests ]] || allowed call "$file" "$call" || echo "$file:$line: $call is banned"
  done
  # A setting must die with its transaction, or the next tenant on that connection inherits it.
  grep -nEi "set_config *\([^;]*, *false *\)|\bset +(session +)?app\." \
    $(product_ch) $(find migrations -name '*.sql') | grep -viE 'set +local'
} | { ! grep .; }
