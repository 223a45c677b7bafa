package io.vivarium.dolphinscheduler.v32;

import io.vivarium.plugin.EmbeddedRegistryProperties;
import io.vivarium.plugin.ForgottenEndpoints;
import io.vivarium.plugin.HostPluginContext;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.apache.dolphinscheduler.registry.api.RegistryException;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** Makes the registry of a host whose configuration says {@code registry.type: embedded}, connected already. */
@Configuration(proxyBeanMethods = false)
@ConditionalOnProperty(prefix = "registry", name = "type", havingValue = "embedded")
@EnableConfigurationProperties
public class EmbeddedRegistryAutoConfiguration {
    /** Where the host's own plugins are, below this each in the package of its type. */
    private static final String PLUGINS = "org.apache.dolphinscheduler.plugin.registry";

    @Bean
    @ConfigurationProperties("registry.embedded")
    public EmbeddedRegistryProperties embeddedRegistryProperties() {
        return new EmbeddedRegistryProperties();
    }

    /** Closed with the context, and with it the embedded server, if there is one. */
    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean(Registry.class)
    public EmbeddedRegistry embeddedRegistry(EmbeddedRegistryProperties properties, ConfigurableApplicationContext host) {
        ForgottenEndpoints.warn(properties, host.getEnvironment());
        EmbeddedRegistry registry = new EmbeddedRegistry(properties,
            HostPluginContext.old(properties, host, Registry.class, PLUGINS, RegistryException::new));
        registry.start();
        return registry;
    }
}
