// SPDX-License-Identifier: GPL-3.0-or-later
// quantloupe-cli COMMAND MODEL [options]: everything the window does, without one.
#include "app/cli/commands/commands.h"
#include "app/cli/interruption.h"
#include "app/cli/session.h"
#include "core/base/freed_memory.h"

#include <tbb/global_control.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace quantloupe::cli {
namespace {

int run(int argc, char** argv)
{
    const Interruption interruption;
    Session session;
    session.stop = interruption.token();
    std::error_code ignored;
    const auto executable = std::filesystem::read_symlink("/proc/self/exe", ignored);
    session.executable = ignored ? argv[0] : executable.string();

    CLI::App app("Quantloupe: what quantization does to a large language model, layer by layer", "quantloupe-cli");
    app.set_version_flag("--version", "quantloupe-cli " QUANTLOUPE_VERSION);
    app.require_subcommand(1);
    app.footer("MODEL is a file, a shard index (model.safetensors.index.json), a folder that holds a model, or\n"
               "'sample' for the bundled one.\n"
               "Exit status: 0 done, 1 failed, 2 usage, 3 the input is not valid, 130 cancelled with Ctrl-C.");
    std::vector<std::pair<CLI::App*, Action>> actions;
    for (const auto* command : allCommands()) {
        auto* subcommand = app.add_subcommand(command->name, command->summary);
        actions.emplace_back(subcommand, command->setUp(*subcommand));
        addCommonOptions(*subcommand, session.options, command->uses);
    }
    // CLI11 would only say that a subcommand is missing.
    const auto named = [&](const auto& entry) { return entry.first->get_name() == argv[1]; };
    if (argc > 1 && argv[1][0] != '-' && std::none_of(actions.begin(), actions.end(), named)) {
        std::fprintf(stderr, "quantloupe-cli: there is no command '%s'; --help lists them\n", argv[1]);
        return Usage;
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const bool asked = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
        app.exit(error);  // prints help to standard output, complaints to standard error
        return asked ? Done : Usage;
    }

    std::optional<tbb::global_control> limit;
    if (session.options.threads != 0)
        limit.emplace(tbb::global_control::max_allowed_parallelism, session.options.threads);
    for (auto& [subcommand, action] : actions) {
        if (!subcommand->parsed())
            continue;
        if (const auto done = action(session); !done) {
            std::fprintf(stderr, "quantloupe-cli: %s\n", describe(done.error()).c_str());
            return exitStatus(done.error());
        }
    }
    return session.fellShort ? Failed : Done;
}

}  // namespace
}  // namespace quantloupe::cli

int main(int argc, char** argv)
{
    quantloupe::keepFreedMemory();
    try {
        return quantloupe::cli::run(argc, argv);
    } catch (const std::bad_alloc&) {
        std::fputs("quantloupe-cli: out of memory\n", stderr);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "quantloupe-cli: internal error: %s\n", error.what());
    }
    return quantloupe::cli::Failed;
}
