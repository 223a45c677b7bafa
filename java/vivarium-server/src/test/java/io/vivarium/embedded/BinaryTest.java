package io.vivarium.embedded;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.embedded.EmbeddedRegistryException.Reason;
import io.vivarium.testkit.Child;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collections;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BinaryTest {
    @TempDir
    Path directory;

    private static URLClassLoader loader(Path... entries) throws IOException {
        URL[] urls = new URL[entries.length];
        for (int at = 0; at < entries.length; at++) {
            urls[at] = entries[at].toUri().toURL();
        }
        return new URLClassLoader(urls, null);
    }

    private static Binary binary(Map<String, String> environment, ClassLoader loader, String platform) {
        return new Binary(null, environment::get, loader, platform);
    }

    private static void refused(Binary binary, Path directory, Reason reason, String... words) {
        EmbeddedRegistryException refused = assertThrows(EmbeddedRegistryException.class, () -> binary.find(directory));
        assertEquals(reason, refused.reason(), refused::getMessage);
        for (String word : words) {
            assertTrue(refused.getMessage().contains(word), () -> word + " is not in: " + refused.getMessage());
        }
    }

    @Test
    void platformsAreNamedAsTheJarsAre() {
        assertEquals("linux-x86_64", Binary.platform("Linux", "amd64"));
        assertEquals("linux-aarch64", Binary.platform("Linux", "aarch64"));
        assertEquals("mac-x86_64", Binary.platform("Mac OS X", "x86_64"));
        assertEquals("windows-x86_64", Binary.platform("Windows 11", "amd64"));
    }

    @Test
    void whereThereIsNoProgramTheMessageSaysWhatToAdd() throws IOException {
        try (URLClassLoader nothing = loader()) {
            refused(binary(Collections.emptyMap(), nothing, "linux-x86_64"), directory, Reason.NO_BINARY,
                "io.vivarium:vivarium-server:0.", ":linux-x86_64", "VIVARIUM_BIN", "PATH");
            refused(binary(Collections.emptyMap(), nothing, "mac-aarch64"), directory, Reason.WRONG_PLATFORM,
                "mac-aarch64", "VIVARIUM_BIN", "endpoints");
            refused(binary(Map.of("VIVARIUM_BIN", "/nowhere/vivarium"), nothing, "linux-x86_64"), directory, Reason.NO_BINARY,
                "VIVARIUM_BIN", "/nowhere/vivarium");
        }
    }

    @Test
    void thePathIsLookedThroughLast() throws IOException {
        Path program = Files.createFile(directory.resolve("vivarium"));
        Map<String, String> path = Map.of("PATH", "/nowhere::" + directory);
        try (URLClassLoader nothing = loader()) {
            refused(binary(path, nothing, "linux-x86_64"), directory, Reason.NO_BINARY);
            assertTrue(program.toFile().setExecutable(true));
            assertEquals(program, binary(path, nothing, "linux-x86_64").find(directory));
        }
    }

    /** The jar that the build makes of the program: unpacked once, mended when it is not what it was, and it runs. */
    @Test
    void thePackagedProgramIsUnpackedOnceAndRuns() throws Exception {
        Path packaged = Paths.get(System.getProperty("binary.directory"));
        try (URLClassLoader jar = loader(packaged)) {
            Binary binary = binary(Collections.emptyMap(), jar, Binary.PACKAGED);
            Path program = binary.find(directory);
            assertTrue(Files.isExecutable(program));
            Object first = Files.readAttributes(program, "unix:ino").get("ino");
            assertEquals(program, binary.find(directory));
            assertEquals(first, Files.readAttributes(program, "unix:ino").get("ino"), "it is not written again");

            Files.write(program, new byte[] {1, 2, 3});
            assertEquals(program, binary.find(directory));
            try (java.util.stream.Stream<Path> files = Files.list(program.getParent())) {
                assertEquals(1, files.count(), "nothing else is left");
            }
            Process version = new ProcessBuilder(program.toString(), "--version").start();
            assertEquals(0, Child.exitCode(version));
            try (EmbeddedRegistryServer server = EmbeddedRegistryServer.builder().binary(program)
                .dataDirectory(directory).start()) {
                assertTrue(server.isRunning());
            }
        }
    }

    @Test
    void aDamagedJarIsNotRun() throws IOException {
        Path place = Files.createDirectories(directory.resolve("jar/io/vivarium/embedded/linux-x86_64"));
        Files.write(place.resolve("vivarium"), new byte[] {1, 2, 3});
        try (URLClassLoader jar = loader(directory.resolve("jar"))) {
            Binary binary = binary(Collections.emptyMap(), jar, "linux-x86_64");
            refused(binary, directory, Reason.DIRECTORY_UNUSABLE, "sha256 is missing");
            Files.write(place.resolve("vivarium.sha256"), "00".repeat(32).getBytes());
            refused(binary, directory, Reason.DIRECTORY_UNUSABLE, "the jar is damaged");
        }
    }
}
