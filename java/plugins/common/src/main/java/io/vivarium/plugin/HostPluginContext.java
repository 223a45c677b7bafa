package io.vivarium.plugin;

import java.util.Collections;
import org.springframework.beans.BeansException;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.ConfigurationPropertySources;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.MutablePropertySources;
import org.springframework.core.env.PropertySource;
import org.springframework.core.env.StandardEnvironment;

/**
 * A Spring context for a host's own registry plugin, which the host has no beans of because its {@code registry.type}
 * is another one. It has the host's properties, but for that, and none of its beans.
 */
public final class HostPluginContext {
    private static final String TYPE = "registry.type";
    /** Spring Boot's view of all other sources, which each environment has of its own. */
    private static final String ATTACHED = "configurationProperties";

    private HostPluginContext() {
    }

    /**
     * The plugin that is to be left, not started yet; null where the host is in no bridge.
     *
     * @param registry the host's interface
     * @param packages above those of the host's plugins, each of which is named as its type
     */
    public static RegistryBackend old(EmbeddedRegistryProperties properties, ConfigurableApplicationContext host,
            Class<?> registry, String packages, HostRegistry.Failure failure) {
        EmbeddedRegistryProperties.Bridge bridge = properties.getBridge();
        if (bridge.getFrom() == null) {
            return null;
        }
        String place = bridge.getPluginPackage() == null ? packages + "." + bridge.getFrom() : bridge.getPluginPackage();
        return new HostPlugin(registry, () -> open(bridge.getFrom(), place, host, registry, failure), failure);
    }

    private static HostPlugin.Opened open(String type, String place, ConfigurableApplicationContext host, Class<?> registry,
            HostRegistry.Failure failure) {
        AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
        boolean done = false;
        try {
            context.setEnvironment(environment(type, host.getEnvironment()));
            context.setClassLoader(host.getClassLoader());
            context.setDisplayName("registry of type " + type);
            context.register(Binding.class);
            context.scan(place);
            context.refresh();
            if (context.getBeanNamesForType(registry).length == 0) {
                throw failure.of("registry.embedded.bridge.from is " + type + ", and the class path has no plugin for "
                    + "registry.type: " + type + " in " + place + ": add the host's own, or name its package with "
                    + "registry.embedded.bridge.plugin-package", null);
            }
            HostPlugin.Opened opened = new HostPlugin.Opened(context.getBean(registry), context::close);
            done = true;
            return opened;
        } catch (BeansException | IllegalStateException error) {
            Throwable root = error;
            while (root.getCause() != null) {
                root = root.getCause();
            }
            throw failure.of("the registry of type " + type + " (registry.embedded.bridge.from) cannot be started: " + root, error);
        } finally {
            if (!done) {
                context.close();
            }
        }
    }

    private static ConfigurableEnvironment environment(String type, ConfigurableEnvironment host) {
        StandardEnvironment own = new StandardEnvironment();
        MutablePropertySources sources = own.getPropertySources();
        sources.remove(StandardEnvironment.SYSTEM_PROPERTIES_PROPERTY_SOURCE_NAME);
        sources.remove(StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME);
        sources.addFirst(new MapPropertySource("bridge", Collections.singletonMap(TYPE, type)));
        for (PropertySource<?> source : host.getPropertySources()) {
            if (!source.getName().equals(ATTACHED)) {
                sources.addLast(source);
            }
        }
        own.setActiveProfiles(host.getActiveProfiles());
        ConfigurationPropertySources.attach(own);
        return own;
    }

    @Configuration(proxyBeanMethods = false)
    @EnableConfigurationProperties
    static class Binding {
    }
}
