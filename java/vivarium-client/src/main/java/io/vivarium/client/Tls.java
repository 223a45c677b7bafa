package io.vivarium.client;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/**
 * How TLS is spoken to the members ({@code doors.grpc.tls = "only"}): whom the client trusts, and by which
 * certificate it is known. It is the Java runtime's own TLS, 1.2 or 1.3; a member's certificate must be for the host name or
 * address by which it is called.
 *
 * <p>All files are read when a method is called; {@link VivariumException.Kind#INVALID_OPTIONS} says what is
 * wrong with one.
 */
public final class Tls {
    private static final char[] NO_PASSWORD = new char[0];

    private KeyStore trust;
    private KeyStore keys;
    private char[] keyPassword = NO_PASSWORD;
    private SSLContext context;

    private Tls() {}

    /** Trust in the authorities that the Java runtime trusts, and no certificate of one's own. */
    public static Tls system() {
        return new Tls();
    }

    /** As this context does it, which is used as it is. */
    public static Tls of(SSLContext context) {
        Tls tls = new Tls();
        tls.context = context;
        return tls;
    }

    /** Trust in the certificates of this PEM file, and in no others. */
    public Tls trustPem(Path certificates) {
        trust = attempt("the certificates in " + certificates, () -> {
            KeyStore store = empty();
            int number = 0;
            for (Certificate each : certificates(certificates)) {
                store.setCertificateEntry("trusted-" + number++, each);
            }
            return store;
        });
        return this;
    }

    /** Trust in what this store has, PKCS #12 or JKS by its name ({@code .p12}, {@code .pfx}, {@code .jks}). */
    public Tls trustStore(Path store, String password) {
        trust = attempt("the trust store " + store, () -> load(store, password.toCharArray()));
        return this;
    }

    /** Known by this chain of certificates, its own first, and this PKCS #8 key ({@code BEGIN PRIVATE KEY}). */
    public Tls keyPem(Path chain, Path key) {
        keys = attempt("the certificate in " + chain + " with the key in " + key, () -> {
            Certificate[] all = certificates(chain).toArray(new Certificate[0]);
            KeyStore store = empty();
            store.setKeyEntry("own", key(key), NO_PASSWORD, all);
            return store;
        });
        keyPassword = NO_PASSWORD;
        return this;
    }

    /** Known by the key of this store, PKCS #12 or JKS by its name, whose password is the key's too. */
    public Tls keyStore(Path store, String password) {
        keyPassword = password.toCharArray();
        keys = attempt("the key store " + store, () -> load(store, keyPassword));
        return this;
    }

    SSLSocketFactory sockets() {
        if (context != null) {
            return context.getSocketFactory();
        }
        return attempt("the certificates and keys", () -> {
            KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            own.init(keys == null ? empty() : keys, keyPassword);
            TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trusted.init(trust);
            SSLContext made = SSLContext.getInstance("TLS");
            made.init(own.getKeyManagers(), trusted.getTrustManagers(), null);
            return made.getSocketFactory();
        });
    }

    private interface Work<T> {
        T run() throws IOException, GeneralSecurityException;
    }

    private static <T> T attempt(String what, Work<T> work) {
        try {
            return work.run();
        } catch (IOException | GeneralSecurityException | IllegalArgumentException error) {
            throw VivariumException.invalid(what + " cannot be used: " + error, error);
        }
    }

    private static KeyStore empty() throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, NO_PASSWORD);
        return store;
    }

    private static KeyStore load(Path file, char[] password) throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance(file.toString().endsWith(".jks") ? "JKS" : "PKCS12");
        try (InputStream bytes = Files.newInputStream(file)) {
            store.load(bytes, password);
        }
        return store;
    }

    private static Collection<? extends Certificate> certificates(Path file)
            throws IOException, GeneralSecurityException {
        try (InputStream bytes = Files.newInputStream(file)) {
            Collection<? extends Certificate> all = CertificateFactory.getInstance("X.509").generateCertificates(bytes);
            if (all.isEmpty()) {
                throw new IOException("there is no certificate in it");
            }
            return all;
        }
    }

    private static PrivateKey key(Path file) throws IOException, GeneralSecurityException {
        String text = new String(Files.readAllBytes(file), StandardCharsets.US_ASCII);
        String begin = "-----BEGIN PRIVATE KEY-----";
        int from = text.indexOf(begin);
        int to = text.indexOf("-----END PRIVATE KEY-----");
        if (from < 0 || to < from) {
            throw new IOException("there is no PKCS #8 key without a password in it (BEGIN PRIVATE KEY)");
        }
        byte[] encoded = Base64.getMimeDecoder().decode(text.substring(from + begin.length(), to).trim());
        for (String algorithm : new String[] {"EC", "RSA"}) {
            try {
                Key key = KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(encoded));
                return (PrivateKey) key;
            } catch (InvalidKeySpecException other) {
                // The next one.
            }
        }
        throw new IOException("it is neither an EC nor an RSA key");
    }
}
