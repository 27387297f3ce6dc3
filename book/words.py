"""The words that shorthands write on a page, in both languages."""

WORDS = {
    "en": {
        "by hand": "By hand",
        "in torch": "In torch",
        "numpy remedy": "Right in NumPy",
        "torch remedy": "Right in torch",
        "judge": "What the judge says",
        "met": "Met by others",
        "statement": "Statement",
        "lesson": "Lesson",
        "test": "Test",
        "nothing": "none",
        "open": '[Open as a notebook]({file}){{ download="{name}" }} ([how]({how}))',
        "notebook needs": "*A notebook of torch-parity's book. Its Python needs torch-parity: "
        'the page "Work in a notebook" says how, also in Colab.*',
        "folded": "**{title}**: in the folded cell below.",
        "see it judged": "Run `!parity faults {name}` to see one of them planted and judged.",
    },
    "zh": {
        "by hand": "手写（NumPy）",
        "in torch": "torch 写法",
        "numpy remedy": "NumPy 的正确写法",
        "torch remedy": "torch 的正确写法",
        "judge": "裁判的原话",
        "met": "他人的遭遇",
        "statement": "笔记中的说法",
        "lesson": "课程",
        "test": "测试",
        "nothing": "无",
        "open": '[以 notebook 打开]({file}){{ download="{name}" }}（[说明]({how})）',
        "notebook needs": "*本 notebook 由 torch-parity 的课程页面生成，运行它的 Python 需要装有 "
        "torch-parity；安装方法（包括 Colab）见网站的“使用 notebook”一页。*",
        "folded": "**{title}**：见下面折叠的单元格。",
        "see it judged": "运行 `!parity faults {name}`，就能看到植入这个错误后裁判的报告。",
    },
}
