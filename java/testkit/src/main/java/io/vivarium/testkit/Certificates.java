package io.vivarium.testkit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Keys and certificates of a test, made by the JDK's own tool in a directory of the test. */
public final class Certificates {
    /** Of every store; also in the file {@code password}. */
    public static final String PASSWORD = "changeit";

    private final Path directory;

    public Certificates(Path directory) {
        this.directory = directory;
        try {
            Files.writeString(directory.resolve("password"), PASSWORD);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    public Path file(String name) {
        return directory.resolve(name);
    }

    /** A key with a certificate of its own, in NAME.p12, and the certificate in NAME.pem. */
    public void issue(String name, String names) {
        String store = file(name + ".p12").toString();
        keytool("-genkeypair", "-alias", "key", "-dname", "CN=" + name, "-keyalg", "EC", "-groupname", "secp256r1",
                "-ext", "san=" + names, "-ext", "bc=ca:true", "-validity", "365", "-keystore", store);
        keytool("-exportcert", "-rfc", "-alias", "key", "-keystore", store, "-file", file(name + ".pem").toString());
    }

    /** A store that trusts these certificates. */
    public void trust(String store, String... names) {
        for (String name : names) {
            keytool("-importcert", "-noprompt", "-alias", name, "-file", file(name + ".pem").toString(),
                    "-keystore", file(store).toString());
        }
    }

    private static void keytool(String... arguments) {
        List<String> command =
                new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "keytool").toString()));
        command.addAll(List.of(arguments));
        command.addAll(List.of("-storepass", PASSWORD));
        try {
            Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
            String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (Child.exitCode(process) != 0) {
                throw new AssertionError(said);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
