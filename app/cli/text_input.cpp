// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/text_input.h"

#include <utility>

namespace quantloupe::cli {

void addContextOption(CLI::App& command, TextWindows& options)
{
    command.add_option("--context", options.context, "Tokens in a window")
        ->type_name("TOKENS")
        ->check(CLI::Range(std::size_t {3}, std::size_t {10'000'000}))
        ->capture_default_str();
}

void addMemoryOption(CLI::App& command, std::uint64_t& memory)
{
    command.add_option("--memory", memory, "Memory for weights and activations, such as 4GiB")
        ->type_name("SIZE")
        ->transform(CLI::AsSizeValue(false))
        ->default_str("4GiB");
}

Result<WindowedText> readWindows(
    const Session& session, const Model& model, const std::string& file, const TextWindows& options)
{
    auto windows = readModelText(model, file, options);
    if (windows && model.config.contextLength && options.context > *model.config.contextLength)
        session.warn("windows of " + std::to_string(options.context) + " tokens are longer than the "
            + std::to_string(*model.config.contextLength) + " the model was made for");
    return windows;
}

Error namedByOption(Error error, const std::string& textFile)
{
    if (error.code != ErrorCode::InvalidArgument)
        return error;
    if (error.where == "text")
        error.where = "--text " + textFile;
    else if (error.where == "context" || error.where == "stride" || error.where == "memory")
        error.where = "--" + error.where;
    return error;
}

}  // namespace quantloupe::cli
