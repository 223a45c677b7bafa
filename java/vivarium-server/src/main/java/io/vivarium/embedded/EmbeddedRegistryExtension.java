package io.vivarium.embedded;

import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * A registry for tests with JUnit 5, empty at the beginning.
 *
 * <p>With {@code @ExtendWith(EmbeddedRegistryExtension.class)} or as a static {@code @RegisterExtension}
 * field, all tests of a class share one; as a field of the instance, each test has its own. Tests that take
 * a parameter of type {@link EmbeddedRegistryServer} are given it.
 */
public final class EmbeddedRegistryExtension
    implements BeforeAllCallback, AfterAllCallback, BeforeEachCallback, AfterEachCallback, ParameterResolver {
    private final EmbeddedRegistryServer.Builder options;
    private EmbeddedRegistryServer server;
    private String owner;

    /** One as {@link EmbeddedRegistryServer#EmbeddedRegistryServer()} makes it. */
    public EmbeddedRegistryExtension() {
        this(EmbeddedRegistryServer.builder());
    }

    /** One as it is described. */
    public EmbeddedRegistryExtension(EmbeddedRegistryServer.Builder options) {
        this.options = options;
    }

    @Override
    public void beforeAll(ExtensionContext context) {
        open(context);
    }

    @Override
    public void beforeEach(ExtensionContext context) {
        open(context);
    }

    @Override
    public void afterEach(ExtensionContext context) {
        close(context);
    }

    @Override
    public void afterAll(ExtensionContext context) {
        close(context);
    }

    private void open(ExtensionContext context) {
        if (server == null) {
            server = options.start();
            owner = context.getUniqueId();
        }
    }

    /** Also called for the classes nested in that for which it was opened, and for each test. */
    private void close(ExtensionContext context) {
        if (server != null && owner.equals(context.getUniqueId())) {
            server.close();
            server = null;
        }
    }

    /** The registry of the test that runs. */
    public EmbeddedRegistryServer getServer() {
        if (server == null) {
            throw new IllegalStateException("no test runs: register this extension with @RegisterExtension");
        }
        return server;
    }

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == EmbeddedRegistryServer.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return getServer();
    }
}
