// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/compute_arena.h"
#include "core/base/mapped_file.h"
#include "core/checkpoints/checkpoint_target.h"
#include "core/checkpoints/draft_files.h"
#include "core/checkpoints/tensor_passes.h"
#include "core/file_formats/file_format.h"

#include <algorithm>

#include <sys/stat.h>

namespace quantloupe {
namespace {

namespace fs = std::filesystem;

/// What the user named, without the slash that folders may end in; a link stands for what it points to.
fs::path cleaned(const fs::path& path)
{
    std::error_code ignored;
    auto target = path.has_filename() ? path : path.parent_path();
    if (fs::is_symlink(target, ignored))
        if (auto real = fs::weakly_canonical(target, ignored); !ignored)
            target = std::move(real);
    return target;
}

bool isSameFile(const fs::path& left, const fs::path& right)
{
    struct stat a {
    }, b {};
    return ::stat(left.c_str(), &a) == 0 && ::stat(right.c_str(), &b) == 0 && a.st_dev == b.st_dev
        && a.st_ino == b.st_ino;
}

/// A folder that --force may replace: one that holds files of a model and nothing else.
bool isCheckpointFolder(const fs::path& folder)
{
    bool weights = false;
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(folder, problem)) {
        if (!entry.is_regular_file())
            return false;
        weights = weights || entry.path().extension() == ".safetensors";
    }
    return !problem && weights;
}

Result<void> refuseTaken(const CheckpointDraft& draft, const fs::path& path, bool overwrite)
{
    std::error_code ignored;
    for (const auto& file : draft.model->files)
        if (isSameFile(file, path) || (draft.folder && isSameFile(fs::absolute(file, ignored).parent_path(), path)))
            return failure(ErrorCode::Conflict, path.string(), "is the model itself");
    const auto status = fs::symlink_status(path, ignored);
    if (!fs::exists(status))
        return {};
    if (draft.folder && fs::is_directory(status) && fs::is_empty(path, ignored))
        return {};
    if (!overwrite)
        return failure(ErrorCode::Conflict, path.string(), "exists already");
    if (draft.folder && !(fs::is_directory(status) && isCheckpointFolder(path)))
        return failure(ErrorCode::Conflict, path.string(),
            "exists, and is not a folder that holds a checkpoint and nothing else, so it is not replaced");
    if (!draft.folder && !fs::is_regular_file(status))
        return failure(ErrorCode::Conflict, path.string(), "exists, and is not a file");
    return {};
}

Result<void> copyFiles(const CheckpointDraft& draft, const fs::path& folder)
{
    for (const auto& from : draft.copies) {
        std::error_code problem;
        const auto to = folder / from.filename();
        if (!fs::copy_file(from, to, problem))
            return systemFailure(ErrorCode::CannotWrite, to, problem.value());
    }
    return {};
}

/// Gives the finished checkpoint its name. A folder that is in the way goes when the new one is in its place.
Result<void> moveIntoPlace(const fs::path& temporary, const fs::path& path, bool folder)
{
    std::error_code problem;
    fs::path old;
    if (folder && fs::exists(path, problem) && !fs::is_empty(path, problem)) {
        old = unusedNameBeside(path);
        fs::rename(path, old, problem);
        if (problem)
            return systemFailure(ErrorCode::CannotWrite, path, problem.value());
    }
    fs::rename(temporary, path, problem);
    if (problem) {
        const int number = problem.value();
        if (!old.empty())
            fs::rename(old, path, problem);
        return systemFailure(ErrorCode::CannotWrite, path, number);
    }
    if (!old.empty())
        fs::remove_all(old, problem);
    return synchroniseFolder(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

/// The two passes over all tensors.
class CheckpointWriter
{
public:
    CheckpointWriter(
        const CheckpointDraft& draft, const WeightQuantization& quantization, std::stop_token stop, Progress& progress)
        : m_draft(draft)
        , m_quantization(quantization)
        , m_stop(std::move(stop))
        , m_progress(progress)
    {
        std::uint64_t bytes = 0;
        for (const auto& tensor : draft.tensors)
            bytes += sourceOf(tensor).bytes();
        progress.totalBytes = 2 * bytes;
        progress.totalItems = static_cast<std::uint32_t>(2 * draft.tensors.size());
    }

    Result<void> write(const fs::path& path)
    {
        auto files = DraftFiles::create(m_draft, path);
        if (!files)
            return tl::unexpected(files.error());
        for (const auto& tensor : m_draft.tensors) {
            auto written = writeTensor(m_draft, tensor, m_quantization, **files, m_stop, share(tensor));
            if (!written)
                return tl::unexpected(written.error());
            if (auto fine = (*files)->check(); !fine)
                return fine;
            m_written.push_back(std::move(*written));
            ++m_progress.doneItems;
        }
        if (auto done = (*files)->finish(); !done)
            return done;
        if (auto copied = copyFiles(m_draft, path); !copied)
            return copied;
        return m_draft.folder ? synchroniseFolder(path) : Result<void>();
    }

    Result<void> verify(const fs::path& path)
    {
        if (!m_draft.readable)
            return {};
        const auto again = openModel(path);
        if (!again)
            return failure(
                ErrorCode::Internal, path.string(), "what was written cannot be read: " + describe(again.error()));
        for (std::size_t i = 0; i < m_draft.tensors.size(); ++i) {
            const auto& tensor = m_draft.tensors[i];
            if (auto same = verifyTensor(m_draft, tensor, m_written[i], **again, m_stop, share(tensor)); !same)
                return same;
            ++m_progress.doneItems;
        }
        return {};
    }

private:
    const ModelTensor& sourceOf(const DraftTensor& tensor) const { return m_draft.model->tensors[tensor.source]; }
    ProgressShare share(const DraftTensor& tensor) const { return {m_progress, sourceOf(tensor).bytes()}; }

    const CheckpointDraft& m_draft;
    const WeightQuantization& m_quantization;
    std::stop_token m_stop;
    Progress& m_progress;
    std::vector<WrittenTensor> m_written {};
};

}  // namespace

Result<WrittenCheckpoint> writeCheckpoint(const CheckpointDraft& draft, const WeightQuantization& quantization,
    const fs::path& path, const CheckpointOptions& options, std::stop_token stop, Progress& progress)
{
    const auto target = cleaned(path);
    if (auto free = refuseTaken(draft, target, options.overwrite); !free)
        return tl::unexpected(free.error());
    if (auto room = requireRoom(target.has_parent_path() ? target.parent_path() : fs::path("."), draft.bytes()); !room)
        return tl::unexpected(room.error());
    const auto temporary = unusedNameBeside(target);
    CheckpointWriter writer(draft, quantization, std::move(stop), progress);
    ComputeArena arena(options.threads);
    auto done = arena.execute([&] {
        return writer.write(temporary).and_then([&] { return writer.verify(temporary); }).and_then([&] {
            return moveIntoPlace(temporary, target, draft.folder);
        });
    });
    if (!done) {
        std::error_code ignored;
        fs::remove_all(temporary, ignored);
        // The name of a temporary file says nothing to anybody.
        if (done.error().where.starts_with(temporary.string()))
            done.error().where.replace(0, temporary.string().size(), target.string());
        return tl::unexpected(done.error());
    }
    WrittenCheckpoint written {.bytes = draft.bytes(), .verifiedTensors = draft.readable ? draft.tensors.size() : 0};
    for (const auto& file : draft.files)
        written.files.push_back(file.name.empty() ? target : target / file.name);
    for (const auto& copied : draft.copies)
        written.files.push_back(target / copied.filename());
    return written;
}

}  // namespace quantloupe
