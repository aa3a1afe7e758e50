// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tokenizers/tokenizer_json_steps.h"

#include "core/base/text.h"

namespace quantloupe {
namespace {

using RewriteKind = RewriteStep::Kind;
using SplitKind = SplitStep::Kind;

constexpr std::size_t kMaxTemplate = 256;

std::optional<NormalForm> normalFormOf(std::string_view type)
{
    if (type == "NFC")
        return NormalForm::Nfc;
    if (type == "NFD")
        return NormalForm::Nfd;
    if (type == "NFKC")
        return NormalForm::Nfkc;
    if (type == "NFKD")
        return NormalForm::Nfkd;
    return std::nullopt;
}

}  // namespace

tl::unexpected<Error> TokenizerJsonSteps::unsupported(const JsonNode& node, const std::string& what) const
{
    return failure(ErrorCode::Unsupported, m_where, what, node.offset);
}

tl::unexpected<Error> TokenizerJsonSteps::malformed(const JsonNode& node, const std::string& what) const
{
    return failure(ErrorCode::Malformed, m_where, what, node.offset);
}

template<class Read>
Result<void> TokenizerJsonSteps::readSequence(const JsonNode& node, std::string_view key, Read read)
{
    const auto* list = node.find(key);
    if (!list || list->kind != JsonEvent::Kind::BeginArray)
        return malformed(node, "a sequence without its list " + inQuotes(key));
    for (const auto& item : list->items)
        if (auto done = read(item); !done)
            return done;
    return {};
}

Result<void> TokenizerJsonSteps::readNormalizer(const JsonNode& node)
{
    const auto type = node.textOf("type");
    if (type == "Sequence")
        return readSequence(node, "normalizers", [&](const JsonNode& item) { return readNormalizer(item); });
    if (type == "Prepend") {
        m_parts.normalizer.push_back({.kind = RewriteKind::Prepend, .to = std::string(node.textOf("prepend"))});
        return {};
    }
    if (type == "Replace")
        return readReplace(node);
    if (const auto form = normalFormOf(type)) {
        m_parts.normalizer.push_back({.kind = RewriteKind::NormalForm, .form = *form});
        return {};
    }
    return unsupported(node, "the normalizer " + inQuotes(type) + " is not supported");
}

Result<void> TokenizerJsonSteps::readReplace(const JsonNode& node)
{
    const auto* pattern = node.find("pattern");
    const auto from = pattern ? pattern->textOf("String") : std::string_view {};
    if (from.empty()) {
        const auto regex = pattern ? pattern->textOf("Regex") : std::string_view {};
        return unsupported(node, "a normalizer that replaces the expression " + inQuotes(regex) + " is not supported");
    }
    const auto to = node.textOf("content");
    if (from == " ")
        m_parts.spaceSymbol = to;
    m_parts.normalizer.push_back({.kind = RewriteKind::Replace, .from = std::string(from), .to = std::string(to)});
    return {};
}

Result<void> TokenizerJsonSteps::readPreTokenizer(const JsonNode& node)
{
    const auto type = node.textOf("type");
    if (type == "Sequence")
        return readSequence(node, "pretokenizers", [&](const JsonNode& item) { return readPreTokenizer(item); });
    if (m_byteLevel)
        return unsupported(node, "the pre-tokenizer " + inQuotes(type) + " after 'ByteLevel' is not supported");
    if (type == "ByteLevel")
        return readByteLevel(node);
    if (type == "Metaspace")
        return readMetaspace(node);
    if (type == "Split")
        return readSplit(node);
    if (type == "Digits") {
        addPattern(*wordPatternOf(node.flagOf("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)"));
        return {};
    }
    return unsupported(node, "the pre-tokenizer " + inQuotes(type) + " is not supported");
}

void TokenizerJsonSteps::addPattern(const WordPattern& pattern)
{
    m_parts.splitter.push_back({.kind = SplitKind::Pattern, .pattern = &pattern});
    if (pattern.coversAll)
        m_patternName = pattern.name;
}

Result<void> TokenizerJsonSteps::readByteLevel(const JsonNode& node)
{
    if (node.flagOf("add_prefix_space", true)) {
        if (!m_parts.splitter.empty())
            return unsupported(node, "a space put before every word is not supported");
        m_parts.rewriter.push_back({.kind = RewriteKind::PrependUnlessThere, .to = " "});
    }
    if (node.flagOf("use_regex", true))
        addPattern(*wordPatternsOfGgufName("gpt-2").front());
    m_byteLevel = true;
    return {};
}

Result<void> TokenizerJsonSteps::readMetaspace(const JsonNode& node)
{
    if (!m_parts.splitter.empty())
        return unsupported(node, "'Metaspace' after another pre-tokenizer is not supported");
    const auto symbol = std::string(node.textOf("replacement"));
    if (symbol.empty())
        return malformed(node, "'Metaspace' without its replacement");
    m_parts.spaceSymbol = symbol;
    m_parts.rewriter.push_back({.kind = RewriteKind::Replace, .from = " ", .to = symbol});
    auto scheme = node.textOf("prepend_scheme");
    if (scheme.empty())
        scheme = node.flagOf("add_prefix_space", true) ? "always" : "never";
    if (scheme == "always")
        m_parts.rewriter.push_back({.kind = RewriteKind::PrependUnlessThere, .to = symbol});
    else if (scheme == "first")
        m_parts.rewriter.push_back({.kind = RewriteKind::PrependAtStart, .to = symbol});
    else if (scheme != "never")
        return unsupported(node, "the prepend scheme " + inQuotes(scheme) + " is not supported");
    if (node.flagOf("split", true))
        m_parts.splitter.push_back({.kind = SplitKind::LiteralBefore, .literal = symbol});
    return {};
}

Result<void> TokenizerJsonSteps::readSplit(const JsonNode& node)
{
    const auto* what = node.find("pattern");
    const auto behavior = node.textOf("behavior");
    const bool invert = node.flagOf("invert", false);
    const auto refuse = [&] {
        return unsupported(node,
            "splitting with the behavior " + inQuotes(behavior) + (invert ? ", inverted," : "") + " is not supported");
    };
    if (const auto regex = what ? what->textOf("Regex") : std::string_view {}; !regex.empty()) {
        const auto* pattern = wordPatternOf(regex);
        if (!pattern)
            return unsupported(*what,
                "splitting by the expression " + inQuotes(regex) + " is not supported: it is none of those known");
        // What lies between matches is dropped here; so there must be nothing.
        const bool onlyMatches = behavior == "Removed" && invert && pattern->coversAll;
        if (!onlyMatches && (behavior != "Isolated" || invert))
            return refuse();
        addPattern(*pattern);
        return {};
    }
    const auto literal = what ? what->textOf("String") : std::string_view {};
    if (literal.empty())
        return malformed(node, "'Split' without a pattern");
    auto kind = SplitKind::LiteralIsolated;
    if (behavior == "MergedWithPrevious")
        kind = SplitKind::LiteralAfter;
    else if (behavior == "MergedWithNext")
        kind = SplitKind::LiteralBefore;
    else if (behavior != "Isolated")
        return refuse();
    if (invert)
        return refuse();
    m_parts.splitter.push_back({.kind = kind, .literal = std::string(literal)});
    return {};
}

Result<void> TokenizerJsonSteps::readDecoder(const JsonNode& node)
{
    const auto type = node.textOf("type");
    if (type == "Sequence")
        return readSequence(node, "decoders", [&](const JsonNode& item) { return readDecoder(item); });
    if (type == "ByteLevel" || type == "ByteFallback" || type == "Fuse" || type == "Replace")
        return {};
    if (type == "Metaspace") {
        const auto scheme = node.textOf("prepend_scheme");
        m_parts.stripsLeadingSpace = scheme.empty() ? node.flagOf("add_prefix_space", true) : scheme != "never";
        return {};
    }
    if (type == "Strip") {
        const auto* start = node.find("start");
        const auto* stop = node.find("stop");
        const auto count = start ? start->number : 0;
        if (node.textOf("content") != " " || count > 1 || (stop && stop->number != 0))
            return unsupported(node, "a decoder that strips anything but one space in front is not supported");
        m_parts.stripsLeadingSpace = count == 1;
        return {};
    }
    return unsupported(node, "the decoder " + inQuotes(type) + " is not supported");
}

Result<void> TokenizerJsonSteps::readPostProcessor(const JsonNode& node)
{
    const auto type = node.textOf("type");
    if (type == "Sequence")
        return readSequence(node, "processors", [&](const JsonNode& item) { return readPostProcessor(item); });
    if (type == "ByteLevel")
        return {};
    if (type == "TemplateProcessing")
        return readTemplate(node);
    return unsupported(node, "the post-processor " + inQuotes(type) + " is not supported");
}

Result<void> TokenizerJsonSteps::readTemplate(const JsonNode& node)
{
    const auto* specials = node.find("special_tokens");
    bool textSeen = false;
    auto done = readSequence(node, "single", [&](const JsonNode& item) -> Result<void> {
        if (item.find("Sequence")) {
            if (textSeen)
                return unsupported(item, "a template that holds the text twice is not supported");
            textSeen = true;
            return {};
        }
        const auto* token = item.find("SpecialToken");
        const auto* special = token && specials ? specials->find(token->textOf("id")) : nullptr;
        const auto* ids = special ? special->find("ids") : nullptr;
        if (!ids)
            return malformed(item, "a template names a special token that it does not describe");
        for (const auto& id : ids->items) {
            if (id.kind != JsonEvent::Kind::Unsigned || id.number >= Vocabulary::kMaxPieces)
                return malformed(id, "not the number of a token");
            (textSeen ? m_parts.suffix : m_parts.prefix).push_back(static_cast<TokenId>(id.number));
            if (m_parts.prefix.size() + m_parts.suffix.size() > kMaxTemplate)
                return malformed(item, "a template of more than 256 tokens");
        }
        return {};
    });
    if (done && !textSeen)
        return unsupported(node, "a template without the text is not supported");
    return done;
}

}  // namespace quantloupe
