#!/usr/bin/env bash
# Prints the table of src/providers/jars.txt for the Kafka version in $1: sha256, size, path in a Maven repository.
# Needs Maven. Each jar is taken from a repository filled by this run alone, so nothing local slips into the table.
set -euo pipefail
VERSION=${1:?the Kafka version, such as 4.3.0}
WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT
cat > "$WORK/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
mvn -q -B -f "$WORK/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
  -Dmdep.useRepositoryLayout=true -DoutputDirectory="$WORK/jars"
cd "$WORK/jars"
find . -name '*.jar' -printf '%f %P\n' | LC_ALL=C sort | while read -r _ path; do
  echo "$(sha256sum "$path" | cut -d' ' -f1) $(stat -c %s "$path") $path"
done
