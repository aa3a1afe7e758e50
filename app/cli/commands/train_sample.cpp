// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/base/atomic_file.h"
#include "core/sample/train_sample.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

#include <unistd.h>

namespace quantloupe::cli {
namespace {

namespace fs = std::filesystem;

void tellOf(const Session& session, const SampleOptions& options, const PretrainingHistory& history)
{
    if (session.options.quiet)
        return;
    const auto& found = history.evaluations.back();
    if (::isatty(STDERR_FILENO) == 1)
        std::fputs("\r\x1b[K", stderr);  // where the bar was drawn
    std::fprintf(stderr, "step %llu of %llu: ", static_cast<unsigned long long>(found.step),
        static_cast<unsigned long long>(options.steps));
    if (!history.steps.empty())
        std::fprintf(stderr, "loss %.4f, ", history.steps.back().loss);
    std::fprintf(stderr, "held-out perplexity %.4f\n", found.perplexity);
}

/// The folder --out, before the long work. Whether it was made.
Result<bool> prepareFolder(const Session& session)
{
    const auto& folder = session.options.out;
    if (folder.empty())
        return usageError("train-sample", "needs --out FOLDER");
    std::error_code problem;
    if (fs::exists(folder, problem) && !fs::is_directory(folder, problem))
        return usageError("--out " + folder.string(), "is a file, and the sample is a folder");
    if (fs::is_directory(folder, problem) && !fs::is_empty(folder, problem) && !session.options.force)
        return usageError("--out " + folder.string(), "is not empty; --force replaces the files of a sample in it");
    const bool made = fs::create_directory(folder, problem);
    if (problem)
        return systemFailure(ErrorCode::CannotWrite, folder, problem.value());
    if (::access(folder.c_str(), W_OK) != 0)
        return systemFailure(ErrorCode::CannotWrite, folder);
    return made;
}

Result<void> tellOfSample(const Session& session, const SampleOptions& options, const TrainedSample& sample,
    std::chrono::duration<double> elapsed)
{
    Json evaluations = Json::array(), files = Json::array();
    for (const auto& found : sample.history.evaluations)
        evaluations.push_back({{"step", found.step}, {"perplexity", number(found.perplexity)}});
    std::string text;
    for (const auto& file : sample.files) {
        files.push_back({{"name", file.name}, {"bytes", file.content.size()}});
        text += (session.options.out / file.name).string() + ", " + std::to_string(file.content.size()) + " bytes\n";
    }
    return print(session,
        {{"seed", options.seed}, {"steps", options.steps}, {"evaluations", std::move(evaluations)},
            {"files", std::move(files)}, {"elapsed_s", elapsed.count()}, {"threads", options.threads}},
        text);
}

Result<void> makeSample(const Session& session, SampleOptions options)
{
    const auto start = std::chrono::steady_clock::now();
    options.seed = session.options.seed;
    options.threads = session.threads();
    const auto made = prepareFolder(session);
    if (!made)
        return tl::unexpected(made.error());
    const auto sample = [&] {
        Progress progress;
        const ProgressPrinter printer(progress, session.options.quiet, ProgressUnit::Steps);
        return trainSample(options, session.stop, progress,
            [&](const PretrainingHistory& history) { tellOf(session, options, history); });
    }();
    const auto& folder = session.options.out;
    if (!sample) {
        std::error_code ignored;
        if (*made)
            fs::remove(folder, ignored);
        return tl::unexpected(sample.error());
    }
    for (const auto& [name, content] : sample->files)
        if (auto done = writeFileAtomically(folder / name, content); !done)
            return done;
    return tellOfSample(session, options, *sample, std::chrono::steady_clock::now() - start);
}

Action setUpTrainSample(CLI::App& command)
{
    auto options = std::make_shared<SampleOptions>();
    command.add_option("--steps", options->steps, "Updates of the weights")
        ->type_name("N")
        ->check(CLI::Range(std::uint64_t {1}, std::uint64_t {1'000'000}))
        ->capture_default_str();
    command.footer(
        "Tells itself stories, learns a vocabulary from them and trains a small Llama on them, from random weights: "
        "the\n"
        "bundled sample is what this gave for seed 0. --out is a folder with model.safetensors, config.json,\n"
        "tokenizer.json, text.txt (stories that were not trained on) and README.md (how it came about). About four\n"
        "minutes of one processor core.");
    return [options](Session& session) { return makeSample(session, *options); };
}

}  // namespace

extern const Command train_sampleCommand;
const Command train_sampleCommand {
    "train-sample", "Trains the bundled sample model anew, from nothing", OutOption | ThreadsOption, setUpTrainSample};

}  // namespace quantloupe::cli
