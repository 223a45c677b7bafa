package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Child;
import java.io.DataInputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The jar that hosts get, with all that it needs under names of its own. */
class PackagedClientIT {
    private static final int JAVA_8 = 52;
    private static final String OURS = "io/vivarium/";
    private static final String SHADED = OURS + "shaded/";
    private static final Set<String> OF_ITS_OWN = Set.of(
            "META-INF/MANIFEST.MF", "META-INF/LICENSE", "META-INF/NOTICE", "META-INF/licenses/protobuf.txt");

    private static Path jar() {
        return Path.of(System.getProperty("client.jar"));
    }

    @Test
    void nothingInItIsSomebodyElsesByName() throws IOException {
        List<String> strange = new ArrayList<>();
        List<String> newer = new ArrayList<>();
        List<String> services = new ArrayList<>();
        try (JarFile jar = new JarFile(jar().toFile())) {
            for (JarEntry entry : java.util.Collections.list(jar.entries())) {
                String name = entry.getName();
                if (entry.isDirectory()) {
                    continue;
                }
                boolean own = name.startsWith(OURS) || OF_ITS_OWN.contains(name);
                if (name.startsWith("META-INF/services/")) {
                    String service = name.substring("META-INF/services/".length());
                    services.add(service);
                    byte[] bytes = jar.getInputStream(entry).readAllBytes();
                    Stream.concat(Stream.of(service), new String(bytes, StandardCharsets.UTF_8).lines())
                            .map(line -> line.replaceAll("#.*", "").trim())
                            .filter(line -> !line.isEmpty() && !line.startsWith("io.vivarium."))
                            .forEach(strange::add);
                } else if (!own) {
                    strange.add(name);
                }
                if (name.endsWith(".class")) {
                    DataInputStream bytes = new DataInputStream(jar.getInputStream(entry));
                    bytes.readInt();
                    bytes.readUnsignedShort();
                    if (bytes.readUnsignedShort() > JAVA_8) {
                        newer.add(name);
                    }
                }
            }
        }
        assertEquals(List.of(), strange);
        assertEquals(List.of(), newer);
        assertTrue(services.contains("io.vivarium.shaded.io.grpc.NameResolverProvider"), services.toString());
    }

    /** Whatever is in it is named, with its license. */
    @Test
    void itSaysUnderWhichLicensesItIs() throws IOException {
        try (JarFile jar = new JarFile(jar().toFile())) {
            for (String text : OF_ITS_OWN) {
                assertTrue(jar.getEntry(text) != null && jar.getEntry(text).getSize() > 0, text);
            }
            String notice = text(jar, "META-INF/NOTICE");
            Set<String> named = notice.lines()
                    .filter(line -> line.matches("[a-z].*"))
                    .flatMap(line -> Stream.of(line.split("[ ,]+")))
                    .map(name -> SHADED + name.replace('.', '/') + "/")
                    .collect(Collectors.toSet());
            List<String> unnamed = jar.stream()
                    .map(JarEntry::getName)
                    .filter(name -> name.startsWith(SHADED) && name.endsWith(".class"))
                    .filter(name -> !name.startsWith(SHADED + "v1/"))
                    .filter(name -> named.stream().noneMatch(name::startsWith))
                    .collect(Collectors.toList());
            assertEquals(List.of(), unnamed);
            assertTrue(text(jar, "META-INF/LICENSE").contains("Apache License"));
            assertTrue(text(jar, "META-INF/licenses/protobuf.txt").contains("Redistribution and use"));
        }
    }

    private static String text(JarFile jar, String name) throws IOException {
        return new String(jar.getInputStream(jar.getEntry(name)).readAllBytes(), StandardCharsets.UTF_8);
    }

    @Test
    void itWorksBesideOtherVersionsOfWhatItNeeds() throws Exception {
        List<String> path = new ArrayList<>();
        try (Stream<Path> files = Files.list(Path.of(System.getProperty("host.jars")))) {
            // What the host has comes first.
            files.map(Path::toString).sorted().forEach(path::add);
        }
        assertEquals(4, path.size());
        path.add(jar().toString());
        path.add(System.getProperty("test.classes"));
        try (Members members = Members.start(1);
                Child host = Child.start(
                        new File("."),
                        path.stream().collect(Collectors.joining(File.pathSeparator)),
                        HostProgram.class.getName(),
                        "" + members.member(1).grpc)) {
            assertEquals(0, host.exitCode(), host.lines().toString());
            host.await("done");
            List<String> said = host.lines();
            String all = String.join("\n", said);
            assertTrue(said.get(0).contains("/host/guava-"), all);
            assertTrue(said.get(1).contains("/host/protobuf-java-"), all);
            assertTrue(said.get(2).contains("/host/grpc-api-"), all);
            assertTrue(said.get(3).endsWith(jar().getFileName().toString()), all);
            assertTrue(said.get(4).endsWith(jar().getFileName().toString()), all);
            assertTrue(said.contains("copy [a] port OptionalInt[7]"), all);
            assertTrue(said.contains("held true"), all);
            assertTrue(said.contains("ring a"), all);
            assertTrue(said.contains("refused NO_ENTRY"), all);
            assertTrue(said.contains("states [CONNECTED, LOST]"), all);
            assertFalse(all.contains("left "), all);
        }
    }
}
