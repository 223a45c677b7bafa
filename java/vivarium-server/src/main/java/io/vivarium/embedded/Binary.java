package io.vivarium.embedded;

import io.vivarium.embedded.EmbeddedRegistryException.Reason;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Locale;
import java.util.Properties;
import java.util.function.UnaryOperator;

/**
 * Where the program is. In this order: the path that was given, the one in {@code VIVARIUM_BIN}, the
 * jar of this platform on the class path, {@code PATH}. A place that is named and has no program is
 * an error; the next one is not tried.
 */
final class Binary {
    static final String VARIABLE = "VIVARIUM_BIN";
    /** The only platform that has a jar. */
    static final String PACKAGED = "linux-x86_64";

    private static final int ELF = 0x7f454c46;
    private static final int ELF_X86_64 = 62;
    private static final int ELF_AARCH64 = 183;
    private static final int MACH_O = 0xcffaedfe;
    private static final int WINDOWS = 0x4d5a;

    private final Path explicit;
    private final UnaryOperator<String> environment;
    private final ClassLoader loader;
    private final String platform;

    Binary(Path explicit) {
        this(explicit, System::getenv, Binary.class.getClassLoader(),
            platform(System.getProperty("os.name"), System.getProperty("os.arch")));
    }

    Binary(Path explicit, UnaryOperator<String> environment, ClassLoader loader, String platform) {
        this.explicit = explicit;
        this.environment = environment;
        this.loader = loader;
        this.platform = platform;
    }

    static String platform(String system, String processor) {
        String os = system.toLowerCase(Locale.ROOT).replaceAll("[^a-z].*", "");
        String arch = processor.toLowerCase(Locale.ROOT);
        return os + "-" + (arch.equals("amd64") || arch.equals("x86-64") ? "x86_64" : arch);
    }

    /** The program, unpacked below {@code directory} if it comes from a jar. */
    Path find(Path directory) {
        if (explicit != null) {
            return checked(explicit, "the path that was given for it");
        }
        String named = environment.apply(VARIABLE);
        if (named != null && !named.isEmpty()) {
            return checked(Paths.get(named), "the path in " + VARIABLE);
        }
        String resource = "io/vivarium/embedded/" + platform + "/vivarium";
        if (loader.getResource(resource) != null) {
            return unpack(resource, directory);
        }
        String path = environment.apply("PATH");
        for (String entry : (path == null ? "" : path).split(File.pathSeparator)) {
            Path candidate = Paths.get(entry, "vivarium");
            if (!entry.isEmpty() && Files.isRegularFile(candidate) && Files.isExecutable(candidate)) {
                return candidate;
            }
        }
        if (!platform.equals(PACKAGED)) {
            throw new EmbeddedRegistryException(Reason.WRONG_PLATFORM, "there is no packaged vivarium for " + platform
                + ", only for " + PACKAGED + ": build the program for this machine and name it in " + VARIABLE
                + ", or give the endpoints of a registry that runs elsewhere");
        }
        throw new EmbeddedRegistryException(Reason.NO_BINARY, "the vivarium program was not found: add the jar "
            + "io.vivarium:vivarium-server:" + version() + ":" + PACKAGED + " to the class path, or name the program in "
            + VARIABLE + ", or put it on the PATH");
    }

    private Path checked(Path binary, String source) {
        if (!Files.isRegularFile(binary)) {
            throw new EmbeddedRegistryException(Reason.NO_BINARY,
                "there is no file " + binary + ", " + source + ": correct the path, or leave it out to use the packaged program");
        }
        if (!Files.isExecutable(binary)) {
            throw notExecutable(binary, null);
        }
        if (isForeign(binary)) {
            throw new EmbeddedRegistryException(Reason.WRONG_PLATFORM, binary + ", " + source + ", is no program for this machine ("
                + platform + "): name one that is");
        }
        return binary.toAbsolutePath();
    }

    /**
     * Whether a file begins as programs of other systems and processors do. The system would hand it to a
     * shell, which says something else each time. What cannot be told is tried.
     */
    private boolean isForeign(Path binary) {
        byte[] head = new byte[20];
        int length = 0;
        try (InputStream in = Files.newInputStream(binary)) {
            for (int read; length < head.length && (read = in.read(head, length, head.length - length)) > 0;) {
                length += read;
            }
        } catch (IOException unreadable) {
            // A program may be run without being read.
            return false;
        }
        int magic = (head[0] & 0xff) << 24 | (head[1] & 0xff) << 16 | (head[2] & 0xff) << 8 | head[3] & 0xff;
        boolean linux = platform.startsWith("linux-");
        if (magic == ELF) {
            int machine = (head[18] & 0xff) | (head[19] & 0xff) << 8;
            return !linux || length < head.length || platform.endsWith("-x86_64") && machine != ELF_X86_64
                || platform.endsWith("-aarch64") && machine != ELF_AARCH64;
        }
        return linux && (magic == MACH_O || magic >>> 16 == WINDOWS);
    }

    static EmbeddedRegistryException notExecutable(Path binary, Throwable cause) {
        return new EmbeddedRegistryException(Reason.NOT_EXECUTABLE, binary + " may not be run: `chmod +x` it; if it has the "
            + "permission, its file system is mounted noexec: choose another data directory, or name a program elsewhere in "
            + VARIABLE, cause);
    }

    /** Each version of the program has a file of its own, which is written once and checked each time. */
    private Path unpack(String resource, Path directory) {
        try {
            String expected = text(resource + ".sha256").trim();
            Path target = directory.resolve("bin").resolve("vivarium-" + expected.substring(0, 16));
            if (Files.isRegularFile(target)) {
                try (InputStream in = Files.newInputStream(target)) {
                    if (copy(in, null).equals(expected) && Files.isExecutable(target)) {
                        return target;
                    }
                }
            }
            Files.createDirectories(target.getParent());
            Path fresh = Files.createTempFile(target.getParent(), "vivarium-", ".unpacking");
            try {
                try (InputStream in = loader.getResourceAsStream(resource); OutputStream out = Files.newOutputStream(fresh)) {
                    if (in == null || !copy(in, out).equals(expected)) {
                        throw new IOException(resource + " is not what its checksum says: the jar is damaged");
                    }
                }
                if (!fresh.toFile().setExecutable(true, true)) {
                    throw notExecutable(fresh, null);
                }
                Files.move(fresh, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(fresh);
            }
            return target;
        } catch (IOException | IndexOutOfBoundsException failed) {
            throw new EmbeddedRegistryException(Reason.DIRECTORY_UNUSABLE,
                "the packaged program cannot be unpacked below " + directory + ": " + failed.getMessage(), failed);
        }
    }

    private String text(String resource) throws IOException {
        try (InputStream in = loader.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IOException(resource + " is missing: the jar is damaged");
            }
            byte[] bytes = new byte[256];
            int length = 0;
            for (int read; length < bytes.length && (read = in.read(bytes, length, bytes.length - length)) > 0;) {
                length += read;
            }
            return new String(bytes, 0, length, StandardCharsets.US_ASCII);
        }
    }

    /** Copies, if there is a place to copy to, and tells the checksum. */
    private static String copy(InputStream in, OutputStream out) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
        byte[] bytes = new byte[64 * 1024];
        for (int read; (read = in.read(bytes)) > 0;) {
            digest.update(bytes, 0, read);
            if (out != null) {
                out.write(bytes, 0, read);
            }
        }
        StringBuilder hex = new StringBuilder();
        for (byte b : digest.digest()) {
            hex.append(String.format("%02x", b));
        }
        return hex.toString();
    }

    static String version() {
        Properties build = new Properties();
        try (InputStream in = Binary.class.getResourceAsStream("build.properties")) {
            build.load(in);
        } catch (IOException damaged) {
            return "VERSION";
        }
        return build.getProperty("version", "VERSION");
    }
}
