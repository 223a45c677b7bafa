/**
 * A host's registry on the native API: everything of a plugin but the host's own types.
 *
 * <p>{@link io.vivarium.plugin.HostRegistry} is what each plugin hands its calls to, configured by
 * {@link io.vivarium.plugin.EmbeddedRegistryProperties}. Without endpoints it starts an embedded server of its own.
 */
package io.vivarium.plugin;
