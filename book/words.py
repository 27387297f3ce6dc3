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
    },
}
