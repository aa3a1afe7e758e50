// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/text_source.h"

#include "core/base/json_events.h"
#include "core/base/mapped_file.h"
#include "core/base/text.h"

#include <optional>

namespace quantloupe {
namespace {

constexpr std::uint64_t kMaxSource = std::uint64_t {1} << 30U;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Result<std::optional<std::string>> textOfLine(std::string_view line, const std::string& where, std::uint64_t offset)
{
    std::optional<std::string> text;
    bool object = false;
    auto read = readJson(line, where, offset, [&](const JsonEvent& event) -> Result<void> {
        if (event.path.empty())
            object = object || event.kind == JsonEvent::Kind::BeginObject;
        if (object && event.path.size() == 1 && event.path[0] == "text") {
            if (event.kind != JsonEvent::Kind::Text)
                return failure(ErrorCode::Malformed, where, "the member 'text' is not a text", event.offset);
            text = event.text;
        }
        return {};
    });
    if (!read)
        return tl::unexpected(std::move(read.error()));
    return text;
}

Result<TextSource> readLines(std::string_view content, const std::string& where, std::uint64_t base)
{
    TextSource source;
    for (std::size_t at = 0; at < content.size();) {
        const auto end = std::min(content.find('\n', at), content.size());
        const auto line = content.substr(at, end - at);
        const auto offset = base + at;
        at = end + 1;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos)
            continue;
        auto text = textOfLine(line, where, offset);
        if (!text)
            return tl::unexpected(std::move(text.error()));
        if (!*text)
            return failure(ErrorCode::Malformed, where, "a line without the member 'text'", offset);
        if (!(*text)->empty())
            source.documents.push_back(std::move(**text));
    }
    return source;
}

}  // namespace

std::size_t TextSource::bytes() const
{
    std::size_t sum = 0;
    for (const auto& document : documents)
        sum += document.size();
    return sum;
}

Result<TextSource> readTextSource(const std::filesystem::path& path)
{
    const auto file = MappedFile::open(path);
    if (!file)
        return tl::unexpected(file.error());
    const auto where = path.string();
    std::string_view content(reinterpret_cast<const char*>((*file)->bytes().data()), (*file)->bytes().size());
    if (content.size() > kMaxSource)
        return failure(ErrorCode::Unsupported, where,
            "a text of " + std::to_string(content.size()) + " bytes, more than the 1 GiB that can be read");
    const std::uint64_t base = content.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
    content.remove_prefix(base);
    if (const auto good = wellFormedLength(content); good < content.size())
        return failure(ErrorCode::Malformed, where, "the text is not UTF-8", base + good);
    const auto extension = path.extension();
    auto source = extension == ".jsonl" || extension == ".ndjson" ? readLines(content, where, base)
        : content.empty()                                         ? Result<TextSource>(TextSource {})
                                                                  : TextSource {{std::string(content)}};
    if (source && source->documents.empty())
        return failure(ErrorCode::Malformed, where, "the file holds no text", 0);
    return source;
}

}  // namespace quantloupe
