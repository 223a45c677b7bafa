package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Certificates;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import org.junit.jupiter.api.Test;

class SecureTest {
    private static final String PASSWORD = Certificates.PASSWORD;
    private static final Duration SHORT = Duration.ofSeconds(2);

    private static Path fresh() throws IOException {
        Files.createDirectories(Path.of("target"));
        return Files.createTempDirectory(Path.of("target").toAbsolutePath(), "secure");
    }

    private static VivariumException refused(VivariumClient.Builder builder, String why) {
        VivariumException error =
                assertThrows(VivariumException.class, () -> builder.connectTimeout(SHORT).build());
        assertEquals(VivariumException.Kind.UNREACHABLE, error.kind());
        assertTrue(error.getMessage().contains(why), error.getMessage());
        return error;
    }

    @Test
    void membersAndClientsKnowEachOtherByTheirCertificates() throws Exception {
        Path directory = fresh();
        Certificates certificates = new Certificates(directory);
        certificates.issue("server", "ip:127.0.0.1");
        certificates.issue("elsewhere", "ip:127.0.0.2");
        certificates.issue("bob", "dns:bob.example");
        certificates.issue("mallory", "dns:mallory.example");
        certificates.trust("trust.p12", "bob");
        Path server = directory.resolve("server.pem");
        String[] settings = {
            "doors.grpc.tls=only",
            "tls.key_store=" + directory.resolve("server.p12"),
            "tls.key_store_password_file=" + directory.resolve("password"),
            "tls.trust_store=" + directory.resolve("trust.p12"),
            "tls.trust_store_password_file=" + directory.resolve("password"),
        };
        try (Members members = Members.start(1, settings)) {
            Tls bob = Tls.system().trustPem(server).keyStore(directory.resolve("bob.p12"), PASSWORD);
            try (VivariumClient client = members.client().tls(bob).build()) {
                client.registry().register(Registration.of("/of/bob").value("x").onlyForMe());
                assertEquals("x", client.registry().get("/of/bob").text());
            }
            // The same by PEM files, and by a trust store.
            KeyStore keys = KeyStore.getInstance(directory.resolve("bob.p12").toFile(), PASSWORD.toCharArray());
            String key = Base64.getMimeEncoder()
                    .encodeToString(keys.getKey("key", PASSWORD.toCharArray()).getEncoded());
            Files.writeString(
                    directory.resolve("bob.key"),
                    "-----BEGIN PRIVATE KEY-----\n" + key + "\n-----END PRIVATE KEY-----\n");
            certificates.trust("members.p12", "server");
            Tls pem = Tls.system()
                    .trustStore(directory.resolve("members.p12"), PASSWORD)
                    .keyPem(directory.resolve("bob.pem"), directory.resolve("bob.key"));
            members.client().tls(pem).build().close();

            refused(members.client().tls(Tls.system().keyStore(directory.resolve("bob.p12"), PASSWORD)), "PKIX");
            refused(members.client().tls(Tls.system().trustPem(server)), "UNAVAILABLE");
            Tls mallory = Tls.system().trustPem(server).keyStore(directory.resolve("mallory.p12"), PASSWORD);
            refused(members.client().tls(mallory), "UNAVAILABLE");
            // One that does not speak TLS, to one that speaks nothing else.
            refused(members.client(), "UNAVAILABLE");
        }
        settings[1] = "tls.key_store=" + directory.resolve("elsewhere.p12");
        try (Members members = Members.start(1, settings)) {
            Tls bob = Tls.system()
                    .trustPem(directory.resolve("elsewhere.pem"))
                    .keyStore(directory.resolve("bob.p12"), PASSWORD);
            refused(members.client().tls(bob), "127.0.0.1");
        }
    }

    @Test
    void filesThatAreNotRightAreNamed() throws Exception {
        Path directory = fresh();
        Path text = Files.writeString(directory.resolve("text.pem"), "nothing\n");
        Path none = directory.resolve("none.p12");
        for (Runnable wrong : List.<Runnable>of(
                () -> Tls.system().trustPem(text),
                () -> Tls.system().trustPem(none),
                () -> Tls.system().trustStore(none, PASSWORD),
                () -> Tls.system().keyStore(text, PASSWORD),
                () -> Tls.system().keyPem(text, text))) {
            VivariumException error = assertThrows(VivariumException.class, wrong::run);
            assertEquals(VivariumException.Kind.INVALID_OPTIONS, error.kind());
            assertTrue(error.getMessage().contains(directory.toString()), error.getMessage());
        }
    }

    @Test
    void aTokenOrAPasswordProvesWhoItIs() throws Exception {
        Path directory = fresh();
        byte[] hash = MessageDigest.getInstance("SHA-256").digest("s3cret".getBytes(StandardCharsets.UTF_8));
        StringBuilder line = new StringBuilder("scheduler ");
        for (byte each : hash) {
            line.append(String.format("%02x", each));
        }
        Path tokens = Files.writeString(directory.resolve("tokens"), line + "\n");
        try (Members members = Members.start(
                1, "access.tokens_file=" + tokens, "access.required_schemes=sasl")) {
            try (VivariumClient client = members.client().token("s3cret").build()) {
                client.registry().put("/ours", "x");
            }
            for (VivariumClient.Builder wrong : List.of(
                    members.client().token("other"), members.client(), members.client().credentials("a", "b"))) {
                VivariumException error = assertThrows(VivariumException.class, wrong::build);
                assertEquals(VivariumException.Kind.REFUSED, error.kind(), error.getMessage());
                assertEquals(Reason.BAD_CREDENTIALS, error.reason());
            }
        }
        try (Members members = Members.start(1);
                VivariumClient mine = members.client().credentials("ann", "secret").build();
                VivariumClient other = members.client().credentials("ann", "guess").build()) {
            mine.registry().register(Registration.of("/mine").value("x").onlyForMe());
            assertEquals("x", mine.registry().get("/mine").text());
            assertEquals(
                    Reason.ACCESS_DENIED,
                    assertThrows(VivariumException.class, () -> other.linearizable().registry().get("/mine"))
                            .reason());
        }
    }
}
