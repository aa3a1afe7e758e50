// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/commands/export_checkpoint.h"

#include "app/cli/output.h"
#include "app/cli/progress_printer.h"

#include "core/analysis/weight_quantization.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <stop_token>
#include <utility>

namespace quantloupe::cli {
namespace {

constexpr std::size_t shownChanges = 20;

Result<std::optional<DType>> floatType(const std::string& text)
{
    if (text.empty())
        return std::optional<DType> {};
    if (text == "fp32")
        return DType::F32;
    if (text == "fp16")
        return DType::F16;
    if (text == "bf16")
        return DType::BF16;
    return usageError("--floats " + text, "there are fp32, fp16 and bf16");
}

/// "5GB", "200MB", "4096": decimal units.
Result<std::uint64_t> byteSize(const std::string& text)
{
    std::uint64_t count = 0;
    const auto* const last = text.data() + text.size();
    const auto read = std::from_chars(text.data(), last, count);
    const std::string_view unit(read.ptr, static_cast<std::size_t>(last - read.ptr));
    const std::uint64_t factor = unit == "GB" ? 1'000'000'000
        : unit == "MB"                        ? 1'000'000
        : unit == "kB"                        ? 1'000
        : unit.empty()                        ? 1
                                              : 0;
    if (read.ec != std::errc() || factor == 0 || count == 0 || __builtin_mul_overflow(count, factor, &count))
        return usageError("--shard-size " + text, "write a size such as 5GB or 500MB");
    return count;
}

Json changesJson(const CheckpointDraft& draft)
{
    Json changes = Json::array();
    for (const auto& change : draft.changes)
        changes.push_back({{"tensor", change.tensor}, {"wanted", change.wanted}, {"written", change.written},
            {"reason", change.reason}});
    return changes;
}

std::string changesText(const CheckpointDraft& draft)
{
    if (draft.changes.empty())
        return {};
    TextTable table({"tensor", "recipe", "written", "because"});
    for (std::size_t i = 0; i < std::min(shownChanges, draft.changes.size()); ++i) {
        const auto& change = draft.changes[i];
        table.add({printable(change.tensor), change.wanted, change.written, change.reason});
    }
    auto text = table.text();
    if (draft.changes.size() > shownChanges)
        text += "and " + std::to_string(draft.changes.size() - shownChanges) + " more; --json lists all\n";
    return text;
}

Json draftJson(const CheckpointTarget& target, const CheckpointDraft& draft)
{
    std::uint64_t quantized = 0;
    for (const auto& tensor : draft.tensors)
        quantized += tensor.scheme ? 1 : 0;
    return {{"target", target.name}, {"bytes", draft.bytes()}, {"tensors", draft.tensors.size()},
        {"quantized_tensors", quantized}, {"changes", changesJson(draft)}, {"warnings", draft.warnings}};
}

/// Of an --out that is taken the option's name, and what may help.
Error namedByOut(const Session& session, Error error)
{
    if (error.code != ErrorCode::Conflict)
        return error;
    return usageError(
        "--out " + error.where, error.reason + (session.options.force ? "" : "; --force replaces a checkpoint"))
        .value();
}

Result<WrittenCheckpoint> writeOut(const Session& session, const CheckpointDraft& draft,
    const WeightQuantization& quantization, std::stop_token stop, Progress& progress)
{
    return writeCheckpoint(draft, quantization, session.options.out,
        {.threads = session.threads(), .overwrite = session.options.force}, std::move(stop), progress)
        .map_error([&](Error error) { return namedByOut(session, std::move(error)); });
}

}  // namespace

void addCheckpointOptions(CLI::App& command, CheckpointWishes& wishes)
{
    command.add_option("--floats", wishes.floats, "Checkpoints: type of what is written as floats")
        ->type_name("fp32|fp16|bf16");
    command.add_option("--shard-size", wishes.shardSize, "Checkpoints in folders: largest file (5GB)")
        ->type_name("SIZE");
    command.add_flag(
        "--allow-requantize", wishes.requantize, "Checkpoints: quantize again what the model holds quantized already");
    command.add_flag("--dry-run", wishes.dryRun, "Checkpoints: tell what would be written, and what would differ");
}

Result<CheckpointDraft> draftWishedCheckpoint(
    const CheckpointTarget& target, const CheckpointWishes& wishes, CheckpointRequest request)
{
    const auto floats = floatType(wishes.floats);
    if (!floats)
        return tl::unexpected(floats.error());
    request.floats = *floats;
    request.requantize = wishes.requantize;
    if (!wishes.shardSize.empty()) {
        const auto size = byteSize(wishes.shardSize);
        if (!size)
            return tl::unexpected(size.error());
        request.shardBytes = *size;
    }
    return target.draft(request);
}

Result<void> requirePlace(const Session& session, const CheckpointDraft& draft)
{
    // The place is taken and let go again: stopped before the first tensor, which is never asked for.
    std::stop_source stopped;
    stopped.request_stop();
    const WeightQuantization none = [](std::size_t, const Scheme&,
                                        const std::stop_token&) -> Result<std::shared_ptr<const QuantizedTensor>> {
        return failure(ErrorCode::Cancelled, "checkpoint", "stopped on request");
    };
    Progress ignored;
    const auto begun = writeOut(session, draft, none, stopped.get_token(), ignored);
    if (begun || begun.error().code == ErrorCode::Cancelled)
        return {};
    return tl::unexpected(begun.error());
}

Result<WishedCheckpoint> writeWishedCheckpoint(const Session& session, const CheckpointTarget& target,
    const CheckpointWishes& wishes, CheckpointRequest request, const WeightQuantization& quantization)
{
    const auto start = std::chrono::steady_clock::now();
    const auto draft = draftWishedCheckpoint(target, wishes, std::move(request));
    if (!draft)
        return tl::unexpected(draft.error());
    for (const auto& warning : draft->warnings)
        session.warn(printable(warning));
    auto json = draftJson(target, *draft);
    auto text = changesText(*draft);
    if (wishes.dryRun) {
        json["written"] = false;
        return WishedCheckpoint {
            std::move(json), text + "would write " + byteText(static_cast<double>(draft->bytes())) + "\n"};
    }
    const auto written = [&] {
        Progress progress;
        const ProgressPrinter printer(progress, session.options.quiet);
        return writeOut(session, *draft, quantization, session.stop, progress);
    }();
    if (!written)
        return tl::unexpected(written.error());
    Json files = Json::array();
    for (const auto& file : written->files) {
        files.push_back(file.string());
        text += "wrote " + printable(file.string()) + "\n";
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    json["written"] = true;
    json["files"] = std::move(files);
    json["verified_tensors"] = written->verifiedTensors;
    json["elapsed_s"] = elapsed.count();
    if (written->verifiedTensors > 0)
        text += std::to_string(written->verifiedTensors) + " tensors read again, all as quantized, bit for bit; ";
    text += byteText(static_cast<double>(written->bytes)) + "\n";
    return WishedCheckpoint {std::move(json), std::move(text)};
}

Result<void> exportCheckpoint(
    const Session& session, const CheckpointTarget& target, const CheckpointWishes& wishes, CheckpointRequest request)
{
    const auto model = request.model;
    const auto written = writeWishedCheckpoint(session, target, wishes, std::move(request), weightQuantization(*model));
    if (!written)
        return tl::unexpected(written.error());
    return print(session, written->json, written->text);
}

}  // namespace quantloupe::cli
